// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestAgentArgs takes arguments from the agent, and from no process that another user has named
// like it: root would start a program that the kubeconfig of that user names.
func TestAgentArgs(t *testing.T) {
	process := func(exe, uids, cmdline string) string {
		t.Helper()
		dir := t.TempDir()
		if err := os.Symlink(exe, filepath.Join(dir, "exe")); err != nil {
			t.Fatal(err)
		}
		for name, text := range map[string]string{"status": "Name:\tfairlead\n" + uids + "Gid:\t0\t0\t0\t0\n", "cmdline": cmdline} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	const root, other, half = "Uid:\t0\t0\t0\t0\n", "Uid:\t70000\t70000\t70000\t70000\n", "Uid:\t70000\t0\t0\t0\n"
	own := fmt.Sprintf("Uid:\t%[1]d\t%[1]d\t%[1]d\t%[1]d\n", os.Geteuid())
	const run = "fairlead\x00run\x00--v=2\x00"
	for _, tc := range []struct {
		name, exe, uids, cmdline string
		is                       bool
	}{
		{"root", "/usr/bin/fairlead", root, run, true},
		{"replaced since it began", "/usr/bin/fairlead (deleted)", root, run, true},
		{"the user of this process", "/usr/bin/fairlead", own, run, true},
		{"another user", "/tmp/fairlead", other, run, false},
		{"begun by another user", "/tmp/fairlead", half, run, false},
		{"no user", "/tmp/fairlead", "", run, false},
		{"another program", "/usr/bin/sh", root, run, false},
		{"another command", "/usr/bin/fairlead", root, "fairlead\x00status\x00", false},
	} {
		got := agentArgs(process(tc.exe, tc.uids, tc.cmdline), "/bin/self")
		if want := []string{"--v=2"}; tc.is && !slices.Equal(got, want) || !tc.is && got != nil {
			t.Errorf("%s: %q", tc.name, got)
		}
	}
	if got := agentArgs(filepath.Join(t.TempDir(), "none"), ""); got != nil {
		t.Errorf("a process that has ended: %q", got)
	}
}
