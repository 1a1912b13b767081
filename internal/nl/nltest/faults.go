// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nltest

import (
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"fairlead/internal/nl"
)

// Place is where a fault strikes.
type Place int

const (
	// Enter fails when a socket is opened, or a library makes a request.
	Enter Place = iota
	// Send fails sendto(2); the kernel gets nothing.
	Send
	// SendLost carries out sendto(2) and fails it.
	SendLost
	// Receive fails recvfrom(2); the answer stays in the socket.
	Receive
	// Lose reads an answer, drops it, and fails recvfrom(2), as a full socket buffer
	// does.
	Lose
	// Silence reads an answer, drops it, and lets the wait for it end.
	Silence
	// Interrupt marks an answer with NLM_F_DUMP_INTR.
	Interrupt
	// Cut leaves out the second half of an answer, and ends it within a message.
	Cut
	// Oversize returns a length beyond the buffer, as for a truncated datagram.
	Oversize
	// Refuse makes the kernel refuse one operation of a request, in its middle. A
	// transaction is not carried out then; other requests lose this operation only.
	Refuse
	// RefuseWhole makes the kernel refuse a transaction without naming an operation.
	RefuseWhole
	// Die fails this and all later system calls of the same descriptor.
	Die
)

// Fault is one kind of failure.
type Fault struct {
	Name  string
	Place Place
	Errno unix.Errno
}

// All returns each kind of failure that a Socket has to survive.
func All() []Fault {
	var out []Fault
	add := func(p Place, name string, errnos ...unix.Errno) {
		for _, e := range errnos {
			out = append(out, Fault{name + " " + unix.ErrnoName(e), p, e})
		}
	}
	add(Enter, "open", unix.EMFILE, unix.ENOMEM)
	add(Send, "send", unix.EINTR, unix.ENOBUFS, unix.ENOMEM, unix.EAGAIN)
	add(SendLost, "send after delivery", unix.ENOBUFS, unix.ECONNREFUSED)
	add(Receive, "receive", unix.EINTR, unix.ENOBUFS, unix.ENOMEM, unix.EAGAIN)
	add(Lose, "lost answer", unix.ENOBUFS)
	add(Refuse, "refuse", unix.ENOMEM, unix.EBUSY, unix.ENOSPC, unix.EEXIST, unix.ENOENT, unix.EINTR, unix.EAGAIN)
	add(RefuseWhole, "refuse whole", unix.ENOMEM, unix.EINVAL, unix.ENOSPC, unix.EINTR)
	add(Die, "die", unix.EBADF, unix.ENOTCONN)
	return append(out,
		Fault{"no answer in time", Silence, 0},
		Fault{"interrupted dump", Interrupt, 0}, Fault{"short read", Cut, 0}, Fault{"oversized answer", Oversize, 0})
}

// Some returns the first of All for each place.
func Some() []Fault {
	var out []Fault
	for _, f := range All() {
		if len(out) == 0 || out[len(out)-1].Place != f.Place {
			out = append(out, f)
		}
	}
	return out
}

// Faults is nl.Calls in which the system call number At fails. Calls are counted from
// 1, over all sockets, where the fault can strike. The zero value fails nothing. All
// methods are safe for concurrent use.
type Faults struct {
	mu     sync.Mutex
	fault  Fault
	at     int // 0 for never
	times  int
	count  int
	struck int
	dead   map[int]bool
	// answers wait for the next reads of a descriptor.
	answers map[int][]byte
}

var _ nl.Calls = (*Faults)(nil)

// Arm makes the n-th call from now on fail, and the times-1 calls after it.
func (f *Faults) Arm(fault Fault, n, times int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault, f.at, f.times, f.count, f.struck = fault, n, times, 0, 0
	f.dead, f.answers = map[int]bool{}, map[int][]byte{}
}

// Disarm lets all later calls through. It returns how often the fault has struck.
func (f *Faults) Disarm() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at = 0
	return f.struck
}

// strike reports whether the call fails.
func (f *Faults) strike(places ...Place) bool {
	if f.at == 0 {
		return false
	}
	for _, p := range places {
		if p == f.fault.Place {
			f.count++
			if f.count >= f.at && f.count < f.at+f.times {
				f.struck++
				return true
			}
		}
	}
	return false
}

// Enter implements nl.Calls.
func (f *Faults) Enter() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.dead) // the next descriptor may have the same number
	if f.strike(Enter) {
		return fmt.Errorf("injected: %w", f.fault.Errno)
	}
	return nil
}

// Send implements nl.Calls.
func (f *Faults) Send(fd int, b []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.answers, fd)
	if err := f.dies(fd); err != nil {
		return err
	}
	if f.strike(Send) {
		return f.fault.Errno
	}
	if !wouldLie(b, f.fault) && f.strike(Refuse, RefuseWhole) {
		f.answers[fd] = refuse(b, f.fault)
		if isTransaction(b) || isQuery(b) {
			return nil
		}
	}
	err := unix.Sendto(fd, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	if f.strike(SendLost) {
		return f.fault.Errno
	}
	return err
}

// Receive implements nl.Calls.
func (f *Faults) Receive(fd int, b []byte, flags int) (int, unix.Sockaddr, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.dies(fd); err != nil {
		return 0, nil, err
	}
	if answer := f.answers[fd]; answer != nil {
		delete(f.answers, fd)
		return copy(b, answer), &unix.SockaddrNetlink{Family: unix.AF_NETLINK}, nil
	}
	if f.fault.Place == Receive && f.strike(Receive) {
		return 0, nil, f.fault.Errno
	}
	n, from, err := unix.Recvfrom(fd, b, flags)
	if err != nil {
		return n, from, err
	}
	if f.strike(Lose, Silence, Interrupt, Cut, Oversize) {
		return f.spoil(b, n, from)
	}
	return n, from, nil
}

// dies fails a call of a dead descriptor. The first one dies here.
func (f *Faults) dies(fd int) error {
	if f.at != 0 && f.fault.Place == Die && (f.dead[fd] || f.strike(Die)) {
		f.dead[fd] = true
		return f.fault.Errno
	}
	return nil
}

// spoil changes an answer that was read.
func (f *Faults) spoil(b []byte, n int, from unix.Sockaddr) (int, unix.Sockaddr, error) {
	switch f.fault.Place {
	case Lose:
		return 0, nil, f.fault.Errno
	case Silence:
		return 0, nil, os.ErrDeadlineExceeded
	case Cut:
		return n/2 | 1, from, nil // messages have an even length
	case Oversize:
		return len(b) + n, from, nil
	}
	interrupt(b[:min(n, len(b))])
	return n, from, nil
}
