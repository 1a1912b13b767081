// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestInstall copies real programs and a profile, the second time without writing.
func TestInstall(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"bridge", "host-local", "loopback", "ptp"}
	for _, name := range names {
		err = errors.Join(err, os.WriteFile(filepath.Join(from, name), program, 0o600))
	}
	profile, target := filepath.Join(from, "seccomp.json"), filepath.Join(to, "fairlead.json")
	if err = errors.Join(err, os.WriteFile(profile, []byte("{}"), 0o600)); err != nil {
		t.Fatal(err)
	}
	args := []string{"install", "--cni-plugins-from", from, "--cni-bin-dir", to, "--seccomp-profile", profile, "--seccomp-to", target}
	out, err := execute(t, args...)
	if err != nil || strings.Count(out, ": installed") != len(names) || !strings.Contains(out, "wrote "+target) {
		t.Errorf("%v\n%s", err, out)
	}
	for _, name := range names {
		if s, err := os.Stat(filepath.Join(to, name)); err != nil || s.Mode().Perm() != 0o755 {
			t.Errorf("%s: %v, %v", name, s, err)
		}
	}
	if s, err := os.Stat(target); err != nil || s.Mode().Perm() != 0o644 {
		t.Errorf("%s: %v, %v", target, s, err)
	}
	out, err = execute(t, args...)
	if err != nil || strings.Count(out, ": same") != len(names) || strings.Contains(out, "wrote") {
		t.Errorf("again: %v\n%s", err, out)
	}
	if left, err := filepath.Glob(filepath.Join(to, ".*")); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

func TestInstallFlags(t *testing.T) {
	for want, args := range map[string][]string{
		"nothing to install": {"install"},
		"need each other":    {"install", "--seccomp-profile", "/dev/null"},
		"no such file":       {"install", "--cni-plugins-from", "/nowhere", "--cni-bin-dir", t.TempDir()},
		"seccomp profile: ":  {"install", "--seccomp-profile", "/dev/null", "--seccomp-to", "/nowhere/x.json"},
	} {
		if _, err := execute(t, args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %s", args, err, want)
		}
	}
}
