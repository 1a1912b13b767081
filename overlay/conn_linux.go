// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"fairlead/internal/netns"
	"fairlead/internal/nl"

	"golang.org/x/sys/unix"
)

// conn talks rtnetlink in one network namespace. It must not be used by two
// goroutines at a time.
type conn struct {
	sock *nl.Socket
	msgs nl.Messages // reused
	// before, if set, is called before each write and may make it fail. Tests use it
	// to stop at any point.
	before func() error
}

func dial(ns *netns.NS) (*conn, error) {
	s, err := nl.Dial(nl.Config{Protocol: unix.NETLINK_ROUTE, Namespace: ns})
	if err != nil {
		return nil, err
	}
	return &conn{sock: s}, nil
}

func (c *conn) close() error { return c.sock.Close() }

// write sends what encode adds, and calls refused for each message that the
// kernel does not accept.
func (c *conn) write(encode func(*nl.Messages), refused func(i int, err error)) error {
	if c.before != nil {
		if err := c.before(); err != nil {
			return err
		}
	}
	c.msgs.Reset()
	encode(&c.msgs)
	return c.sock.Write(&c.msgs, refused)
}

// request sends one message.
func (c *conn) request(encode func(*nl.Messages)) error {
	var failed error
	if err := c.write(encode, func(_ int, err error) { failed = err }); err != nil {
		return err
	}
	return failed
}

// dump calls each for all objects that a message with a fixed part and the
// attributes of filter asks for.
func (c *conn) dump(kind uint16, body []byte, filter func(*nl.Messages), each func(nl.Reply)) error {
	c.msgs.Reset()
	c.msgs.Begin(kind, 0, body...)
	if filter != nil {
		filter(&c.msgs)
	}
	return c.sock.Dump(&c.msgs, each)
}
