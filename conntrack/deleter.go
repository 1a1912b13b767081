// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package conntrack

import (
	"errors"
	"fmt"
	"time"

	"github.com/mdlayher/netlink"
	"github.com/ti-mo/conntrack"

	"fairlead/internal/netns"
	"fairlead/internal/nl"
)

// deleteLimit is how long the kernel may take to answer a deletion.
const deleteLimit = 10 * time.Second

// connection is what deletes flows: a conntrack.Conn outside of tests.
type connection interface {
	Delete(conntrack.Flow) error
	Close() error
}

// deleter deletes flows. ti-mo/conntrack (v0.6.0) waits for the kernel's answer without a limit, so a
// connection that goes without one is closed, which ends the wait, and the next deletion dials again.
type deleter struct {
	dial  func() (connection, error)
	limit time.Duration
	conn  connection // nil after a deletion without an answer
}

func openDeleter(ns *netns.NS, calls nl.Calls) (*deleter, error) {
	d := &deleter{limit: deleteLimit, dial: func() (connection, error) {
		cfg := &netlink.Config{}
		if ns != nil {
			cfg.NetNS = ns.Fd()
		}
		if err := nl.Enter(calls); err != nil {
			return nil, err
		}
		return conntrack.Dial(cfg)
	}}
	return d, d.open()
}

func (d *deleter) open() error {
	conn, err := d.dial()
	if err != nil {
		return fmt.Errorf("open conntrack socket: %w", err)
	}
	d.conn = conn
	return nil
}

// delete returns the kernel's error, or nl.ErrLost if there was no answer.
func (d *deleter) delete(flow conntrack.Flow) error {
	if d.conn == nil {
		if err := d.open(); err != nil {
			return err
		}
	}
	conn, done := d.conn, make(chan error, 1)
	go func() { done <- conn.Delete(flow) }()
	timer := time.NewTimer(d.limit)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		d.conn = nil
		return errors.Join(nl.ErrLost, conn.Close())
	}
}

func (d *deleter) close() error {
	if d.conn == nil {
		return nil
	}
	return d.conn.Close()
}
