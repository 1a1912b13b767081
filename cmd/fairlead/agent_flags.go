// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"fairlead/internal/leftovers"
)

// agentFlags sets the flags of a command to those of the agent that runs in the same
// network namespace with the same files, unless the command line has a flag other than
// own. It says where the flags come from.
func agentFlags(fs *pflag.FlagSet, own ...string) (source string, err error) {
	given := false
	fs.Visit(func(f *pflag.Flag) { given = given || !slices.Contains(own, f.Name) })
	if given {
		return "the flags are those of the command line", nil
	}
	pids, err := leftovers.Processes(func(argv []string) bool {
		return filepath.Base(argv[0]) == "fairlead" && len(argv) > 1 && argv[1] == "run"
	})
	if err != nil || len(pids) == 0 {
		return "no flags are given and no agent was found to take them from, so the pods' network is not checked", nil //nolint:nilerr // the command works without
	}
	pid := pids[0]
	if !sameFiles(pid) {
		return fmt.Sprintf("no flags are given, and those of the agent (process %d) name files of its container: run the command there", pid), nil
	}
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return "", fmt.Errorf("read the flags of the agent: %w", err)
	}
	args := strings.Split(strings.TrimSuffix(string(line), "\x00"), "\x00")
	if err := fs.Parse(args[min(2, len(args)):]); err != nil {
		return "", fmt.Errorf("read the flags of the agent (process %d), which may be of another version: %w", pid, err)
	}
	return fmt.Sprintf("the flags are those of the agent (process %d)", pid), nil
}

// sameFiles reports whether a process sees the same files as this one.
func sameFiles(pid int) bool {
	own, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		return false
	}
	theirs, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/mnt", pid))
	return err == nil && own == theirs
}
