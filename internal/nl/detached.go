// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nl

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// detached is a Socket that Go's poller no longer knows. The poller learns of each message that
// arrives (EPOLLET), so a thread wakes up for each, also while Listen rests and nobody waits for
// one: 1,000 notifications a second then cost more for threads that wake up than for what they
// say. A detached socket blocks one thread, and a message wakes it when it waits for one.
type detached struct {
	*Socket
	fd int
	// stopped is readable once the context is done.
	stopped int
	unhook  func() (was bool)
	written chan struct{}
}

// detach detaches the socket, which serves Listen alone from then on. Close must follow on what it
// returns. After an error the socket is as before: a filter of system calls, such as a seccomp
// profile, may refuse what only a detached socket uses.
func (s *Socket) detach(ctx context.Context) (*detached, error) {
	s.copied.mu.Lock()
	defer s.copied.mu.Unlock()
	d := &detached{Socket: s, written: make(chan struct{})}
	failed := optional(s.calls, "fcntl")
	err := s.raw.Control(func(fd uintptr) {
		if failed == nil {
			d.fd, failed = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0)
		}
	})
	if err := errors.Join(err, failed); err != nil {
		return nil, fmt.Errorf("copy the descriptor of a netlink socket: %w", err)
	}
	if err = optional(s.calls, "eventfd2"); err == nil {
		d.stopped, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open an eventfd: %w", err), unix.Close(d.fd))
	}
	if err := d.poll(0); err != nil {
		return nil, errors.Join(fmt.Errorf("poll a netlink socket: %w", err), unix.Close(d.stopped), unix.Close(d.fd))
	}
	_ = s.conn.Close() // which tells the poller; the copy stays open
	stop := context.AfterFunc(ctx, func() {
		var one [8]byte
		binary.NativeEndian.PutUint64(one[:], 1)
		_, _ = unix.Write(d.stopped, one[:])
		close(d.written)
	})
	d.unhook = stop
	s.copied.fd, s.copied.open = d.fd, true
	return d, nil
}

// Close closes both descriptors.
func (d *detached) Close() error {
	if !d.unhook() {
		<-d.written // or the write could meet a descriptor that was opened since
	}
	d.copied.mu.Lock()
	defer d.copied.mu.Unlock()
	d.copied.open = false
	return errors.Join(unix.Close(d.stopped), unix.Close(d.fd))
}

// next returns what one read gives, which is valid until the next. Without wait it returns EAGAIN
// where there is nothing to read, and with wait as soon as the context is done.
func (d *detached) next(wait bool) ([]byte, error) {
	for {
		n, err := d.recvNow(uintptr(d.fd), d.buf)
		switch {
		case errors.Is(err, unix.EINTR), err == nil && n == 0:
			continue
		case errors.Is(err, unix.EAGAIN) && wait:
			if err := d.poll(forever); err != nil {
				return nil, err
			}
			wait = false // or it would wait again once the context is done
			continue
		case err != nil:
			return nil, err
		case n >= len(d.buf):
			return nil, fmt.Errorf("read %d bytes and more: %w", n, ErrMalformed)
		}
		return d.buf[:n], nil
	}
}

// sleep waits for a time, or until the context is done. Go's timers cost less than poll with a time:
// the runtime watches a thread that blocks for 10 ms, twenty times a millisecond, in case other
// goroutines have work (retake of runtime/proc.go).
func sleep(ctx context.Context, rest time.Duration) {
	if rest == 0 {
		return
	}
	timer := time.NewTimer(rest)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

const forever = -1

// poll waits for some milliseconds until the socket is readable or the context is done.
func (d *detached) poll(wait int) error {
	if err := optional(d.calls, "poll"); err != nil {
		return err
	}
	list := []unix.PollFd{{Fd: int32(d.stopped), Events: unix.POLLIN}, {Fd: int32(d.fd), Events: unix.POLLIN}}
	for {
		if _, err := unix.Poll(list, wait); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
