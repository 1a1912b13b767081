// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package cni

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzRivals reads a configuration that another program left in the directory.
func FuzzRivals(f *testing.F) {
	for _, s := range []string{`{"name":"other","plugins":[]}`, `{"name":5}`, "", "null", "{\"name\":\"x\\u001b[2J\\n\"}", "{\"name\":\"a\x00\x1b"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "05-other.conflist"), content, 0o600); err != nil {
			t.Fatal(err)
		}
		rivals, err := Rivals(filepath.Join(dir, "10-fairlead.conflist"))
		if err != nil || len(rivals) != 1 {
			t.Fatalf("%d rivals, %v", len(rivals), err)
		}
		if s := rivals[0].String(); strings.ContainsAny(s, "\x1b\n\x00") {
			t.Errorf("the message acts on a terminal: %q", s)
		}
	})
}

// FuzzInspect reads a program that another one left among the plugins.
func FuzzInspect(f *testing.F) {
	f.Add([]byte("#!/bin/sh\n"))
	f.Add([]byte("\x7fELF\x02\x01\x01"))
	if self, err := os.ReadFile("/proc/self/exe"); err == nil {
		f.Add(self[:min(len(self), 4096)])
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		if b := inspect(content); b.version != "" && b.kind != program {
			t.Errorf("a version %q of a file that is no program", b.version)
		}
	})
}
