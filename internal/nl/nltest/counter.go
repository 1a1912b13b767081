// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nltest

import (
	"errors"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"fairlead/internal/nl"
)

// Counter is nl.Calls that counts what passes. All methods are safe for concurrent use.
type Counter struct {
	calls, messages, sent, received atomic.Int64
}

var _ nl.Calls = (*Counter)(nil)

// Traffic is what a Counter has counted.
type Traffic struct {
	Calls    int // system calls, of which a read that finds nothing is one
	Messages int // sent
	Sent     int // bytes
	Received int // bytes
}

// Traffic returns what was counted so far.
func (c *Counter) Traffic() Traffic {
	return Traffic{int(c.calls.Load()), int(c.messages.Load()), int(c.sent.Load()), int(c.received.Load())}
}

// Minus returns what was counted since before.
func (t Traffic) Minus(before Traffic) Traffic {
	return Traffic{t.Calls - before.Calls, t.Messages - before.Messages, t.Sent - before.Sent, t.Received - before.Received}
}

// Enter implements nl.Calls.
func (c *Counter) Enter() error { return nil }

// Send implements nl.Calls.
func (c *Counter) Send(fd int, b []byte) error {
	c.calls.Add(1)
	c.messages.Add(int64(number(b)))
	c.sent.Add(int64(len(b)))
	return unix.Sendto(fd, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
}

// Receive implements nl.Calls.
func (c *Counter) Receive(fd int, b []byte, flags int) (int, unix.Sockaddr, error) {
	n, from, err := unix.Recvfrom(fd, b, flags)
	if errors.Is(err, unix.EINTR) {
		return n, from, err // the call is made again
	}
	c.calls.Add(1)
	if err == nil {
		c.received.Add(int64(n))
	}
	return n, from, err
}
