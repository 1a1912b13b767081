// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// Process is a program that runs inside a host and does not outlive it.
type Process struct {
	cmd  *exec.Cmd
	done chan struct{}
	err  error // of Wait; valid once done is closed
}

// Start runs cmd inside the host. The kernel kills it when this process ends in any
// way.
func (h *Host) Start(cmd *exec.Cmd) (*Process, error) {
	p := &Process{cmd: cmd, done: make(chan struct{})}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	started := make(chan error, 1)
	// The death signal follows the thread that forked, so that thread waits.
	go func() {
		defer close(p.done)
		p.err = h.NS.Do(func() error {
			if err := cmd.Start(); err != nil {
				started <- err
				return err
			}
			started <- nil
			return cmd.Wait()
		})
		select {
		case started <- p.err: // the namespace could not be entered
		default:
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s in %s: %w", cmd.Path, h.Name, err)
	}
	return p, h.own(p)
}

// Pid returns the process ID.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err returns how the process ended, once Done is closed.
func (p *Process) Err() error {
	<-p.done
	return p.err
}

// Signal sends sig; a process that has ended ignores it.
func (p *Process) Signal(sig os.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal process %d: %w", p.Pid(), err)
	}
	return nil
}

// Close ends the process: with SIGTERM, and with SIGKILL when that takes more
// than five seconds. How it ended is no error.
func (p *Process) Close() error {
	const grace = 5 * time.Second
	if err := p.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-p.done:
		return nil
	case <-time.After(grace):
	}
	err := p.Signal(syscall.SIGKILL)
	<-p.done
	return err
}
