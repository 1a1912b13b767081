// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const chartDir = "../../chart"

// TestStale checks that the bases are what the chart renders.
func TestStale(t *testing.T) {
	if err := run(chartDir, "../../kustomize", true); err != nil {
		t.Error(err)
	}
	stale := t.TempDir()
	for _, base := range []string{"proxy", "network"} {
		if err := os.Mkdir(filepath.Join(stale, base), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := run(chartDir, stale, false); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(stale, "network", "fairlead.yaml"), []byte(header), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := run(chartDir, stale, true); err == nil || !strings.Contains(err.Error(), "make manifests") {
		t.Errorf("a stale file gives %v", err)
	}
}
