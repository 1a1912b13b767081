// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package netns makes network namespaces and runs code inside them. Namespaces
// have no name on disk: they live as long as a descriptor or a process holds
// them, so nothing is left behind by a crash.
package netns

import (
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// NS is an open network namespace. It is safe for concurrent use until Close.
type NS struct{ fd int }

// New makes an empty network namespace whose loopback device is still down.
// It needs CAP_SYS_ADMIN in the caller's user namespace.
func New() (*NS, error) {
	var ns *NS
	err := onFreshThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("unshare network namespace: %w", err)
		}
		var err error
		ns, err = Current()
		return err
	})
	return ns, err
}

// Current opens the network namespace of the calling thread.
func Current() (*NS, error) { return Open("/proc/thread-self/ns/net") }

// Open opens the namespace at path, for example /proc/PID/ns/net.
func Open(path string) (*NS, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open network namespace %s: %w", path, err)
	}
	return &NS{fd: fd}, nil
}

// Fd returns the descriptor, valid until Close.
func (n *NS) Fd() int { return n.fd }

// IsProcess reports whether n is the namespace that goroutines of the process are in, but
// for those that Do runs. Entering it is not necessary then, and a container without
// CAP_SYS_ADMIN may not.
func (n *NS) IsProcess() (bool, error) {
	// The caller may be on a thread that Do moved, and so may be the first thread of the
	// process, which /proc/self stands for. A new goroutine is on neither.
	var ours, theirs unix.Stat_t
	err := make(chan error, 1)
	go func() { err <- unix.Stat("/proc/thread-self/ns/net", &ours) }()
	if err := <-err; err != nil {
		return false, fmt.Errorf("stat network namespace of the process: %w", err)
	}
	if err := unix.Fstat(n.fd, &theirs); err != nil {
		return false, fmt.Errorf("stat network namespace: %w", err)
	}
	return ours.Dev == theirs.Dev && ours.Ino == theirs.Ino, nil
}

// Close releases the descriptor.
func (n *NS) Close() error { return unix.Close(n.fd) }

// Do runs f on a thread of its own inside the namespace and returns its error.
// Sockets, files under /proc/sys/net and processes that f opens belong to the
// namespace; goroutines that f starts do not.
func (n *NS) Do(f func() error) error {
	return onFreshThread(func() error {
		if err := unix.Setns(n.fd, unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter network namespace: %w", err)
		}
		return f()
	})
}

// onFreshThread runs f on a locked thread that is never unlocked: the runtime
// ends a thread whose goroutine returns locked, and its namespace goes with it. The main
// thread cannot end, and /proc/PID/ns shows its namespace as that of the process, so f
// never runs there.
func onFreshThread(f func() error) error {
	err := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			defer runtime.UnlockOSThread()
			err <- onFreshThread(f)
			return
		}
		err <- f()
	}()
	return <-err
}
