// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package leftovers

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Running returns the processes of an owner's program in the network namespace of
// the calling thread, as far as /proc shows them: a pod without hostPID sees its
// own processes only.
func Running(o Owner) ([]int, error) {
	program := map[Owner]string{KubeProxy: "kube-proxy", Flannel: "flanneld"}[o]
	if program == "" {
		return nil, nil
	}
	return Processes(func(argv []string) bool { return isProgram(argv, program) })
}

// Processes returns the processes in the network namespace of the calling thread whose
// command line matches, as far as /proc shows them. A command line has one part at least.
func Processes(match func(argv []string) bool) ([]int, error) {
	own, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		return nil, fmt.Errorf("find own network namespace: %w", err)
	}
	names, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return nil, err
	}
	var out []int
	for _, name := range names {
		dir := filepath.Dir(name)
		cmdline, err := os.ReadFile(name)
		if err != nil {
			continue // it ended
		}
		ns, err := os.Readlink(filepath.Join(dir, "ns", "net"))
		if errors.Is(err, os.ErrPermission) {
			ns = own // it could be
		} else if err != nil {
			continue
		}
		argv := strings.Split(strings.TrimSuffix(string(cmdline), "\x00"), "\x00")
		if pid, err := strconv.Atoi(filepath.Base(dir)); err == nil && ns == own && match(argv) {
			out = append(out, pid)
		}
	}
	slices.Sort(out)
	return out, nil
}

// isProgram reports whether a command line starts a program, by itself or as one
// of those that are in one binary (hyperkube).
func isProgram(argv []string, program string) bool {
	return filepath.Base(argv[0]) == program || len(argv) > 1 && argv[1] == program
}
