// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"fairlead/internal/nl"
	"fairlead/internal/nl/nltest"
	"fairlead/internal/nstest"
	"fairlead/nat/ruleset"
)

// sockets counts the sockets that are opened.
type sockets struct {
	nltest.Counter
	n atomic.Int32
}

func (s *sockets) Enter() error {
	s.n.Add(1)
	return s.Counter.Enter()
}

// TestReadersKeepTheSocket reads again and again. Each reader opens one socket, as closing one
// delays commits.
func TestReadersKeepTheSocket(t *testing.T) {
	ns := nstest.New(t)
	var opened sockets
	table, err := OpenWith(ns, &opened)
	if err != nil {
		t.Fatal(err)
	}
	if err := table.Commit(t.Context(), ruleset.Batch{{Verb: ruleset.AddTable}}); err != nil {
		t.Fatal(err)
	}
	for name, read := range map[string]func(r *readers) error{
		"affinity maps":  func(r *readers) error { _, err := affinityMaps(r); return err },
		"forged packets": func(r *readers) error { _, err := forgedPackets(r); return err },
	} {
		r := &readers{dial: func() (*nl.Socket, error) { return table.dial() }}
		before := opened.n.Load()
		for range 3 {
			if err := read(r); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		r.close()
		if n := opened.n.Load() - before; n != 1 {
			t.Errorf("%s: three readings opened %d sockets, want 1", name, n)
		}
	}
	before := opened.n.Load()
	for range 3 {
		if _, err := table.BackendCounters(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if n := opened.n.Load() - before; n != 1 {
		t.Errorf("three readings of counters opened %d sockets, want 1", n)
	}
	if err := table.Close(); err != nil {
		t.Error(err)
	}
	if kept := table.counters.idle; len(kept) > 0 {
		t.Errorf("%d sockets stay open", len(kept))
	}
}

// TestReadersAfterFault has a socket break and be closed in the middle of a reading. The next
// reading opens another one.
func TestReadersAfterFault(t *testing.T) {
	ns := nstest.New(t)
	var faults nltest.Faults
	opened := 0
	r := &readers{dial: func() (*nl.Socket, error) {
		opened++
		return nl.Dial(nl.Config{Protocol: unix.NETLINK_NETFILTER, Namespace: ns, Calls: &faults})
	}}
	read := func() error { _, err := forgedPackets(r); return err }
	if err := read(); err != nil {
		t.Error(err)
	}
	faults.Arm(nltest.Fault{Name: "die", Place: nltest.Die, Errno: unix.EBADF}, 1, 1)
	if err := read(); err == nil {
		t.Error("reading by a broken socket: no error")
	}
	faults.Disarm()
	if err := read(); err != nil || opened != 2 {
		t.Errorf("reading after a fault: %v, %d sockets opened, want 2", err, opened)
	}
	if err := r.read(func(*nl.Socket) error { r.close(); return nil }); err != nil || len(r.idle) > 0 {
		t.Errorf("closed while it is read: %v, %d sockets stay open", err, len(r.idle))
	}
}
