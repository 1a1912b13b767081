// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package oom

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// eaterEnv tells a program that calls Eat that it is the process that takes memory.
	eaterEnv = "FAIRLEAD_LAB_EATER"
	// left is what a starving group has left. A score that is raised as far as possible
	// counts as much as the limit, so left is more than the other process has of its own.
	left = 16 << 20
	// most is what the other process takes at most, so that a limit without effect does
	// not hurt the machine.
	most = 64 << 20
	// patience is how long the kernel may take. It first takes back what it can, such as
	// pages of files.
	patience = 10 * time.Second
)

// Starve makes the kernel end a process of a group for want of memory, and returns once
// ended is closed. Its own program takes the memory, and has to call Eat when it starts.
// The group has no limit afterwards. The kernel may also end the process that took the
// memory.
func (g *Group) Starve(pid int, ended <-chan struct{}) (err error) {
	// Of all processes in the group the kernel takes the one with the highest score.
	const highest = "1000"
	if err := os.WriteFile(filepath.Join("/proc", strconv.Itoa(pid), "oom_score_adj"), []byte(highest), 0); err != nil {
		return fmt.Errorf("choose process %d: %w", pid, err)
	}
	before, err := g.Kills()
	if err != nil {
		return err
	}
	runtime.LockOSThread() // the eater's death signal follows the thread that forked
	defer runtime.UnlockOSThread()
	eater := exec.Command("/proc/self/exe")
	eater.Stderr = os.Stderr
	eater.Env = []string{eaterEnv + "=1"}
	eater.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	begin, err := eater.StdinPipe()
	if err == nil {
		err = eater.Start()
	}
	if err != nil {
		return fmt.Errorf("start the process that takes memory: %w", err)
	}
	defer func() {
		_ = eater.Process.Kill()
		_ = eater.Wait() // the signal is how it ends
		err = errors.Join(err, g.Unlimit())
	}()
	if err := errors.Join(g.Add(eater.Process.Pid), g.Limit(left), begin.Close()); err != nil {
		return err
	}
	select {
	case <-ended:
	case <-time.After(patience):
		return fmt.Errorf("the kernel did not end process %d within %s, although its control group has no memory left", pid, patience)
	}
	after, err := g.Kills()
	if err == nil && after <= before {
		err = fmt.Errorf("process %d ended by itself", pid)
	}
	return err
}

// Eat takes memory and does not return if this process is the one that Starve started.
func Eat() {
	if os.Getenv(eaterEnv) == "" {
		return
	}
	_, _ = io.Copy(io.Discard, os.Stdin) // until Starve has put this process into the group
	// Memory of a file counts for the group and not for the score of this process.
	file, err := unix.MemfdCreate("eater", 0)
	block := make([]byte, 256<<10)
	for n := 0; err == nil && n < most; n += len(block) {
		_, err = unix.Write(file, block)
	}
	fmt.Fprintln(os.Stderr, "The process that takes memory took as much as it may, in spite of the limit:", err)
	<-time.After(patience)
	os.Exit(1)
}
