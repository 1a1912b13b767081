// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestSweepLabDirs removes what nobody holds and keeps the rest.
func TestSweepLabDirs(t *testing.T) {
	parent := t.TempDir()
	for _, name := range []string{"fairlead-lab-left", "fairlead-lab-used", "fairlead-lab-young", "other"} {
		dir := filepath.Join(parent, name)
		if err := os.MkdirAll(filepath.Join(dir, "logs"), 0o755); err != nil {
			t.Fatal(err)
		}
		if name != "fairlead-lab-young" {
			old := time.Now().Add(-time.Hour)
			if err := os.Chtimes(dir, old, old); err != nil {
				t.Fatal(err)
			}
		}
	}
	held, err := holdLabDir(filepath.Join(parent, "fairlead-lab-used"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = held.Close() }()
	if err := sweepLabDirs(parent, time.Minute); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(parent)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if diff := cmp.Diff([]string{"fairlead-lab-used", "fairlead-lab-young", "other"}, got); diff != "" {
		t.Errorf("what is left (-want +got):\n%s", diff)
	}
}
