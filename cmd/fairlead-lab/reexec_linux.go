// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// labDirEnv tells the second instance of the lab that it is inside its own
// namespaces, and where its files are.
const labDirEnv = "FAIRLEAD_LAB_DIR"

// relaunchLab runs this very command once more in new user, network and mount
// namespaces, so that the lab cannot touch the host, root or not. It waits for
// the end, removes what the lab left on disk and returns the exit code.
func relaunchLab(ctx context.Context, dir string) (int, error) {
	held, err := holdLabDir(dir)
	if err != nil {
		return 1, err
	}
	defer func() { _ = held.Close() }()
	if err := sweepLabDirs(filepath.Dir(dir), time.Minute); err != nil {
		return 1, err
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)

	runtime.LockOSThread() // the child's death signal follows the thread that forked
	defer runtime.UnlockOSThread()
	cmd := labChild(dir, syscall.CLONE_NEWUSER)
	err = cmd.Start()
	if err != nil && os.Geteuid() == 0 {
		cmd = labChild(dir, 0) // user namespaces are switched off, but root needs none
		err = cmd.Start()
	}
	if err != nil {
		return 1, fmt.Errorf("start the lab in namespaces of its own: %w (%s)", err, userNamespaceHint)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case sig := <-signals:
			_ = cmd.Process.Signal(sig)
		case <-ctx.Done():
			_ = cmd.Process.Signal(syscall.SIGTERM)
			ctx = context.WithoutCancel(ctx)
		case err := <-ended:
			return exitCode(err)
		}
	}
}

const userNamespaceHint = "an ordinary user needs unprivileged user namespaces: see the sysctls user.max_user_namespaces, " +
	"kernel.unprivileged_userns_clone on older Debian and kernel.apparmor_restrict_unprivileged_userns on Ubuntu; or run this as root"

func labChild(dir string, userNamespace uintptr) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), labDirEnv+"="+dir)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: userNamespace | syscall.CLONE_NEWNET | syscall.CLONE_NEWNS,
		Pdeathsig:  syscall.SIGKILL,
	}
	if userNamespace != 0 {
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}
	return cmd
}

// exitCode turns what Wait returned into this process's exit code.
func exitCode(err error) (int, error) {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0, nil
	case errors.As(err, &exit) && exit.ExitCode() > 0:
		return exit.ExitCode(), nil // it said why
	}
	return 1, fmt.Errorf("run the lab: %w", err)
}
