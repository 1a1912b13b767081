// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"os"
	"path/filepath"
	"runtime/debug"
	"testing"
)

// TestMemoryLimit reads the limit of a container from both versions of cgroups.
func TestMemoryLimit(t *testing.T) {
	for _, tt := range []struct {
		name, file, text string
		want             int64
	}{
		{"v2", "memory.max", "536870912\n", 512 << 20},
		{"v2 without a limit", "memory.max", "max\n", 0},
		{"v1", "memory/memory.limit_in_bytes", "268435456\n", 256 << 20},
		{"v1 without a limit", "memory/memory.limit_in_bytes", "9223372036854771712\n", 0},
		{"nonsense", "memory.max", "-1\n", 0},
		{"empty", "memory.max", "", 0},
		{"no cgroups", "other", "1\n", 0},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, tt.file)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, ok := memoryLimit(dir); ok != (tt.want > 0) || ok && got != tt.want {
			t.Errorf("%s: %d, %v, want %d", tt.name, got, ok, tt.want)
		}
	}
}

// TestLimitMemory: the collector gets three quarters, and what the user says comes first.
func TestLimitMemory(t *testing.T) {
	was := debug.SetMemoryLimit(-1)
	t.Cleanup(func() { debug.SetMemoryLimit(was) })
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "memory.max"), []byte("1073741824\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GOMEMLIMIT", "2GiB")
	if limitMemory(dir); debug.SetMemoryLimit(-1) != was {
		t.Error("GOMEMLIMIT is set, and does not count")
	}
	t.Setenv("GOMEMLIMIT", "")
	if limitMemory(dir); debug.SetMemoryLimit(-1) != 768<<20 {
		t.Errorf("the limit is %d bytes, want three quarters of 1 GiB", debug.SetMemoryLimit(-1))
	}
}
