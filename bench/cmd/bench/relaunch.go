// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
)

// inside tells the second instance that it is in namespaces of its own.
const inside = "FAIRLEAD_BENCH_INSIDE"

// relaunch runs this command once more in new network and mount namespaces, for an
// ordinary user in a new user namespace too, and returns its exit code.
func relaunch() (int, error) {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	runtime.LockOSThread() // the child's death signal follows the thread that forked
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGTERM}
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "bench: not run as root, so kube-proxy cannot write more than some hundred Services")
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	err := passOn(signals, cmd.Process, ended)
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() > 0 {
		return exit.ExitCode(), nil // it said why
	}
	return 0, err
}

// passOn returns what a process ended with, and gives it the signals that come until then.
// An interrupt comes from the terminal, which gives it to the process as well.
func passOn(signals <-chan os.Signal, p *os.Process, ended <-chan error) error {
	for {
		select {
		case s := <-signals:
			if s != os.Interrupt {
				_ = p.Signal(s) // it may have ended meanwhile
			}
		case err := <-ended:
			return err
		}
	}
}
