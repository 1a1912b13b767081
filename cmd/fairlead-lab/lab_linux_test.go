// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestFindAgent prefers the flag, and else finds the program on $PATH.
func TestFindAgent(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "fairlead")
	t.Setenv("PATH", dir)
	o := options{}
	if err := o.findAgent(); err == nil || !strings.Contains(err.Error(), "set --agent") {
		t.Errorf("without a program: %v, want an error that names --agent", err)
	}
	if err := os.WriteFile(program, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := o.findAgent(); err != nil || o.agent != program {
		t.Errorf("found %q, %v, want %q", o.agent, err, program)
	}
	o = options{agent: filepath.Join(dir, "missing")}
	if err := o.findAgent(); err == nil || !strings.HasPrefix(err.Error(), "--agent: ") {
		t.Errorf("with a wrong flag: %v, want an error that names the flag", err)
	}
}

// TestCommand checks flags before anything is built.
func TestCommand(t *testing.T) {
	for _, tt := range []struct{ args, want string }{
		{"--nodes=0", "must be at least 1"},
		{"--cni --demo", "cannot be combined"},
		{"--connectivity-test --demo", "cannot be combined"},
		{"--bundle=x --demo", "--bundle: cannot be combined"},
		{"--chaos --demo", "cannot be combined with --demo"},
		{"--chaos --overlay=", "needs an --overlay"},
		{"--chaos --gap=0s", "must be positive"},
		{"--chaos --events=storm", `--events: event "storm" is unknown`},
		{"--agent=/does/not/exist", "--agent: "},
		{"x", "unknown command"},
	} {
		cmd := newCommand()
		cmd.SetArgs(strings.Fields(tt.args))
		if err := cmd.Execute(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.args, err, tt.want)
		}
	}
}
