// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package leftovers_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"fairlead/internal/leftovers"
	"fairlead/internal/nstest"
)

// TestRunning finds programs of others on this node, and not those of other
// namespaces.
func TestRunning(t *testing.T) {
	ns := nstest.New(t)
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		nstest.Skip(t, "sleep is not installed")
	}
	dir := t.TempDir()
	start := func(name string, elsewhere bool) int {
		t.Helper()
		program := filepath.Join(dir, name)
		if err := os.Symlink(sleep, program); err != nil && !os.IsExist(err) {
			t.Fatal(err)
		}
		cmd := exec.Command(program, "600")
		run := func(f func() error) error { return f() }
		if elsewhere {
			run = ns.Do
		}
		if err := run(cmd.Start); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _, _ = cmd.Process.Kill(), cmd.Wait() })
		return cmd.Process.Pid
	}
	finds := func(o leftovers.Owner, pid int, want bool) {
		t.Helper()
		var pids []int
		for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
			var err error
			if pids, err = leftovers.Running(o); err != nil {
				t.Fatal(err)
			}
			if slices.Contains(pids, pid) == want {
				return
			}
		}
		t.Errorf("%s runs as %v, want %d among them: %v", o, pids, pid, want)
	}
	here, there, other := start("kube-proxy", false), start("kube-proxy", true), start("flanneld", false)
	finds(leftovers.KubeProxy, here, true)
	finds(leftovers.KubeProxy, there, false)
	finds(leftovers.KubeProxy, other, false)
	finds(leftovers.Flannel, other, true)
	finds(leftovers.Fairlead, here, false)
}
