// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"fairlead/internal/netns"
	"fairlead/internal/nl"

	"golang.org/x/sys/unix"
)

// Conn talks rtnetlink in one network namespace. It must not be used by two
// goroutines at a time.
type Conn struct {
	patient bool // see repeat
	sock    *nl.Socket
	msgs    nl.Messages // reused
	// Before, if set, is called before each write and may make it fail. Tests use it
	// to stop at any point.
	Before func() error
}

// Dial opens a connection; nil is the namespace of the process.
func Dial(ns *netns.NS) (*Conn, error) { return DialWith(ns, nil) }

// DialWith is Dial for tests, which stand between the socket and the kernel.
func DialWith(ns *netns.NS, calls nl.Calls) (*Conn, error) {
	s, err := nl.Dial(nl.Config{Protocol: unix.NETLINK_ROUTE, Namespace: ns, Calls: calls})
	if err != nil {
		return nil, err
	}
	return &Conn{sock: s}, nil
}

// Close closes the connection.
func (c *Conn) Close() error { return c.sock.Close() }

// write sends what encode adds, and calls refused for each message that the
// kernel does not accept.
func (c *Conn) write(encode func(*nl.Messages), refused func(i int, err error)) error {
	if c.Before != nil {
		if err := c.Before(); err != nil {
			return err
		}
	}
	c.msgs.Reset()
	encode(&c.msgs)
	return c.sock.Write(&c.msgs, refused)
}

// request sends one message.
func (c *Conn) request(encode func(*nl.Messages)) error {
	var failed error
	if err := c.write(encode, func(_ int, err error) { failed = err }); err != nil {
		return err
	}
	return failed
}

// get calls each for the object that a message asks for.
func (c *Conn) get(kind uint16, body []byte, fill func(*nl.Messages), each func(nl.Reply)) error {
	c.msgs.Reset()
	c.msgs.Begin(kind, 0, body...)
	fill(&c.msgs)
	return c.sock.Get(&c.msgs, each)
}
