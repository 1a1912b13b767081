// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"fairlead/internal/chaos"
	"fairlead/internal/lab"
)

// agent takes the agent of a node away in one of several ways, or brings it back.
func (r *runner) agent(s chaos.Step) (string, error) {
	a := r.Agents[r.nodeOf(s).Name]
	switch {
	case s.Kind == chaos.Stop && s.Begin:
		return "", a.Signal(syscall.SIGSTOP)
	case s.Kind == chaos.Stop:
		return "", a.Signal(syscall.SIGCONT)
	case s.Kind == chaos.Descriptor && s.Begin:
		return "", limit(a.Pid(), unix.RLIMIT_NOFILE, 3)
	case s.Kind == chaos.Descriptor:
		return "", unlimit(a.Pid(), unix.RLIMIT_NOFILE)
	case s.Kind == chaos.Memory && s.Begin:
		return r.starve(s)
	case s.Kind == chaos.Kill && s.Begin:
		if err := a.Signal(syscall.SIGKILL); err != nil {
			return "", err
		}
		<-a.Done()
		return fmt.Sprintf("process %d", a.Pid()), nil
	}
	how := "was dead"
	select {
	case <-a.Done():
	default: // it allocated nothing meanwhile
		how = "killed now"
		if err := a.Signal(syscall.SIGKILL); err != nil {
			return "", err
		}
		<-a.Done()
	}
	if err := r.startAgent(r.nodeOf(s)); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s, process %d", how, r.Agents[r.nodeOf(s).Name].Pid()), nil
}

// startAgent starts the agent of a node, in the node's memory control group if there is one.
func (r *runner) startAgent(node *lab.Node) error {
	if err := r.StartAgent(node); err != nil {
		return err
	}
	if g := r.groups[node.Name]; g != nil {
		return g.Add(r.Agents[node.Name].Pid())
	}
	return nil
}

// starve takes the memory of a node's agent away.
func (r *runner) starve(s chaos.Step) (string, error) {
	a := r.Agents[r.nodeOf(s).Name]
	g := r.groups[r.nodeOf(s).Name]
	if g == nil {
		// The next growth of the heap fails and ends the process, at an instant that
		// only the runtime knows.
		return "", limit(a.Pid(), unix.RLIMIT_AS, 1<<20)
	}
	if err := g.Starve(a.Pid(), a.Done()); err != nil {
		return "", err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tally.starved++
	return fmt.Sprintf("the kernel ended process %d", a.Pid()), nil
}

// limit lowers a resource limit of a process, which may be raised again.
func limit(pid, resource int, to uint64) error {
	var old unix.Rlimit
	if err := unix.Prlimit(pid, resource, nil, &old); err != nil {
		return fmt.Errorf("read limits of process %d: %w", pid, err)
	}
	if err := unix.Prlimit(pid, resource, &unix.Rlimit{Cur: min(to, old.Max), Max: old.Max}, nil); err != nil {
		return fmt.Errorf("limit process %d: %w", pid, err)
	}
	return nil
}

// unlimit raises a limit to what is allowed. A process that has ended needs none.
func unlimit(pid, resource int) error {
	err := limit(pid, resource, ^uint64(0))
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	return err
}

// settleTime is how long agents get to do everything that is left after a round.
const settleTime = time.Minute
