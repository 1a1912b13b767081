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

	"golang.org/x/sys/unix"
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
// A process that may not change the network is left out: any user can name one like another program.
func Processes(match func(argv []string) bool) ([]int, error) { return processes("/proc", match) }

// processes is Processes for a directory like /proc.
func processes(proc string, match func(argv []string) bool) ([]int, error) {
	own := map[string]string{}
	for _, kind := range []string{"net", "user"} {
		ns, err := os.Readlink(filepath.Join(proc, "thread-self/ns", kind))
		if err != nil {
			return nil, fmt.Errorf("find own %s namespace: %w", kind, err)
		}
		own[kind] = ns
	}
	names, err := filepath.Glob(filepath.Join(proc, "[0-9]*"))
	if err != nil {
		return nil, err
	}
	var out []int
	for _, name := range names {
		pid, err := strconv.Atoi(filepath.Base(name))
		if err == nil && matches(name, own, match) {
			out = append(out, pid)
		}
	}
	slices.Sort(out)
	return out, nil
}

// matches reports whether the process of a directory of /proc is one that Processes returns.
func matches(name string, own map[string]string, match func(argv []string) bool) bool {
	dir, err := os.OpenRoot(name) // stays that of one process
	if err != nil {
		return false // it ended
	}
	defer func() { _ = dir.Close() }()
	cmdline, err := dir.ReadFile("cmdline")
	if err != nil || !match(strings.Split(strings.TrimSuffix(string(cmdline), "\x00"), "\x00")) {
		return false
	}
	net, err := dir.Readlink("ns/net")
	if !errors.Is(err, os.ErrPermission) && (err != nil || net != own["net"]) { // without permission, it could be ours
		return false
	}
	status, err := dir.ReadFile("status")
	if err != nil {
		return false
	}
	if Trusted(string(status)) {
		return true
	}
	// systemd-networkd has a user of its own.
	user, err := dir.Readlink("ns/user")
	return err == nil && user == own["user"] && isNetAdmin(string(status))
}

// Trusted reports whether /proc/PID/status is that of a process of root or of the user of this
// process. The owner of the directory says less: it is root for each process that may not be dumped.
func Trusted(status string) bool {
	ids := fieldsOf(status, "Uid:") // real, effective, saved, of files
	return len(ids) == 4 && !slices.ContainsFunc(ids, func(id string) bool { return id != "0" && id != strconv.Itoa(os.Geteuid()) })
}

// isNetAdmin reports whether /proc/PID/status is that of a process with CAP_NET_ADMIN in its user
// namespace. Any user has it in one of its own.
func isNetAdmin(status string) bool {
	effective := fieldsOf(status, "CapEff:")
	if len(effective) != 1 {
		return false
	}
	bits, err := strconv.ParseUint(effective[0], 16, 64)
	return err == nil && bits&(1<<unix.CAP_NET_ADMIN) != 0
}

// fieldsOf returns what a line of /proc/PID/status says.
func fieldsOf(status, name string) []string {
	for line := range strings.Lines(status) {
		if fields := strings.Fields(line); len(fields) > 0 && fields[0] == name {
			return fields[1:]
		}
	}
	return nil
}

// isProgram reports whether a command line starts a program, by itself or as one
// of those that are in one binary (hyperkube).
func isProgram(argv []string, program string) bool {
	return filepath.Base(argv[0]) == program || len(argv) > 1 && argv[1] == program
}
