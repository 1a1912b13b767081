// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"fairlead/internal/nstest"
)

const cgroupRoot = "/sys/fs/cgroup"

// newCgroup makes a cgroup with one below it for each node, in each hierarchy that the
// machine has, and returns its path inside a hierarchy. The programs of a node are in
// the cgroup "sys" below that of the node. At the end of the test it kills
// what is still in them and removes them.
func newCgroup(t *testing.T, nodes []string) string {
	t.Helper()
	name := "/fairlead-" + strconv.Itoa(os.Getpid())
	roots := hierarchies(t)
	t.Cleanup(func() {
		for _, root := range roots {
			if err := removeCgroup(filepath.Join(root, name)); err != nil {
				t.Error(err)
			}
		}
	})
	for _, root := range roots {
		dirs := []string{""}
		for _, n := range nodes {
			dirs = append(dirs, n, filepath.Join(n, "sys"))
		}
		for _, dir := range dirs {
			if err := makeCgroup(root, filepath.Join(root, name, dir)); err != nil {
				nstest.Skip(t, "cgroups cannot be made: "+err.Error())
			}
		}
	}
	return name
}

// hierarchies returns where cgroups are mounted: one place in version 2, one for each
// controller in version 1.
func hierarchies(t *testing.T) (roots []string) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(cgroupRoot, "cgroup.controllers")); err == nil {
		return []string{cgroupRoot}
	}
	entries, err := os.ReadDir(cgroupRoot)
	if err != nil {
		nstest.Skip(t, "no cgroups: "+err.Error())
	}
	for _, e := range entries {
		root := filepath.Join(cgroupRoot, e.Name())
		if _, err := os.Stat(filepath.Join(root, "cgroup.procs")); err == nil && e.IsDir() {
			roots = append(roots, root)
		}
	}
	if len(roots) == 0 {
		nstest.Skip(t, "no cgroups are mounted in "+cgroupRoot)
	}
	return roots
}

func makeCgroup(root, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	// A cpuset of version 1 begins without processors and memory.
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
		value, err := os.ReadFile(filepath.Join(filepath.Dir(dir), file))
		if errors.Is(err, os.ErrNotExist) || dir == root {
			return nil
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, file), value, 0)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// removeCgroup kills all processes in dir and below, and removes it from the leaves up.
func removeCgroup(dir string) error {
	var err error
	for range 100 { // 10 s
		if err = tryRemove(dir); err == nil {
			return nil
		}
		<-time.After(100 * time.Millisecond)
	}
	return fmt.Errorf("remove cgroup: %w", err)
}

func tryRemove(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		if e.IsDir() {
			err = errors.Join(err, tryRemove(filepath.Join(dir, e.Name())))
		}
	}
	pids, readErr := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	for field := range strings.FieldsSeq(string(pids)) {
		if pid, err := strconv.Atoi(field); err == nil && pid > 1 {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	if readErr != nil && !errors.Is(readErr, syscall.ENODEV) {
		err = errors.Join(err, readErr)
	}
	return errors.Join(err, syscall.Rmdir(dir))
}
