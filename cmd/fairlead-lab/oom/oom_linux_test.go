// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package oom

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"fairlead/internal/nstest"
)

func TestMain(m *testing.M) {
	Eat()
	os.Exit(m.Run())
}

// TestStarve: the kernel ends the process that is meant, and nothing stays behind.
func TestStarve(t *testing.T) {
	if nstest.Race {
		t.Skip("under the race detector, the process that takes memory has more of its own than the group has left, so the kernel ends that one")
	}
	const prefix = "fairlead-oom-test-"
	g, err := New(fmt.Sprint(prefix, os.Getpid()))
	if err != nil {
		t.Skip("this machine permits no memory control group: ", err)
	}
	t.Cleanup(func() { _ = Sweep(prefix) })
	for range 2 {
		victim := exec.Command("sleep", "600")
		if err := victim.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() {
			_ = victim.Wait()
			close(ended)
		}()
		if err := g.Add(victim.Process.Pid); err != nil {
			t.Fatal(err)
		}
		if err := g.Starve(victim.Process.Pid, ended); err != nil {
			t.Error(err)
		}
		_ = victim.Process.Kill()
		<-ended
		if status, ok := victim.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
			t.Errorf("the process ended with %v, want SIGKILL", victim.ProcessState)
		}
	}
	if n, err := g.Kills(); n < 2 || err != nil {
		t.Errorf("the kernel ended %d processes of the group, %v, want 2 or more: those that took the memory may be among them", n, err)
	}
	if err := Sweep(prefix); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(g.dir); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", g.dir, err)
	}
}

// TestFind finds a hierarchy of either version, and says why there is none.
func TestFind(t *testing.T) {
	for _, tt := range []struct {
		name, file, text, want string
	}{
		{"v1", "memory/memory.limit_in_bytes", "9223372036854771712", "memory.limit_in_bytes"},
		{"v2", "cgroup.subtree_control", "cpuset cpu io memory pids", "memory.max"},
		{"v2 without the controller", "cgroup.subtree_control", "hugetlb", "does not pass the controller memory on"},
		{"nothing", "other", "", "find control groups: open "},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, tt.file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(tt.text), 0o644); err != nil {
			t.Fatal(err)
		}
		var got string
		if g, err := at(dir); err != nil {
			got = err.Error()
		} else {
			got = g.files.limit
		}
		if !strings.Contains(got, tt.want) {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}
