// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"fairlead/internal/leftovers"
)

// AgentArgs returns the arguments of the agent that runs in the network namespace of this
// process, without its name and "run". It returns nil if there is no agent that this
// process may read, or if several have different arguments.
func AgentArgs() []string {
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return nil
	}
	pids, err := leftovers.Processes(func(argv []string) bool { return len(argv) > 1 && argv[1] == "run" })
	if err != nil {
		return nil
	}
	var found []string
	for _, pid := range pids {
		args := agentArgs(fmt.Sprintf("/proc/%d", pid), self)
		switch {
		case args == nil:
		case found == nil:
			found = args
		case !slices.Equal(found, args):
			return nil
		}
	}
	return found
}

// agentArgs returns the arguments of a process if it is an agent. A process that ended, that
// belongs to another user than root and that of this process, or whose program this process may
// not see, is none. The arguments name files, such as a kubeconfig with a program to start.
func agentArgs(proc, self string) []string {
	dir, err := os.OpenRoot(proc) // stays that of one process
	if err != nil {
		return nil
	}
	defer func() { _ = dir.Close() }()
	exe, err := dir.Readlink("exe")
	if err != nil || exe != self && filepath.Base(strings.TrimSuffix(exe, " (deleted)")) != "fairlead" {
		return nil
	}
	status, err := dir.ReadFile("status")
	if err != nil || !leftovers.Trusted(string(status)) {
		return nil
	}
	b, err := dir.ReadFile("cmdline")
	if err != nil {
		return nil
	}
	args := strings.Split(strings.TrimSuffix(string(b), "\x00"), "\x00")
	if len(args) < 2 || args[1] != "run" {
		return nil
	}
	return append([]string{}, args[2:]...)
}
