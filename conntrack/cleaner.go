// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package conntrack

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"fairlead/internal/inet"
)

// Sweep is what one sweep did.
type Sweep struct {
	Scanned int // flows that the kernel reported
	Deleted int
	Err     error // why it will be repeated, or nil
}

// Cleaner deletes stale flows in one network namespace. Set, Delete and SweepAll
// are safe for concurrent use and never wait for the kernel; Run is the one
// worker.
type Cleaner struct {
	ns    int
	poked chan struct{}

	answers answers // the worker's own

	mu    sync.Mutex
	view  *View
	due   map[inet.Addr]struct{} // frontends whose flows are to be looked at
	all   bool                   // all flows are
	local map[netip.Addr]struct{}
}

// NewCleaner returns a Cleaner for a network namespace by its descriptor, 0 for
// that of the process. It does nothing until Run.
func NewCleaner(ns int) *Cleaner {
	c := &Cleaner{ns: ns, poked: make(chan struct{}, 1), due: map[inet.Addr]struct{}{}}
	c.view = NewView(func(ip netip.Addr) bool {
		_, ok := c.local[ip]
		return ok
	})
	return c
}

// Set is View.Set, and has the flows looked at that may be stale.
func (c *Cleaner) Set(frontend inet.Addr, serving []netip.AddrPort) {
	c.change(frontend, func() bool { return c.view.Set(frontend, serving) })
}

// Delete is View.Delete, and has the flows looked at that may be stale.
func (c *Cleaner) Delete(frontend inet.Addr) {
	c.change(frontend, func() bool { return c.view.Delete(frontend) })
}

// SweepAll has all flows looked at: what changed before now is not known.
func (c *Cleaner) SweepAll() {
	c.mu.Lock()
	c.all = true
	c.mu.Unlock()
	c.poke()
}

func (c *Cleaner) change(frontend inet.Addr, f func() bool) {
	c.mu.Lock()
	stale := f()
	if stale {
		c.due[frontend] = struct{}{}
	}
	c.mu.Unlock()
	if stale {
		c.poke()
	}
}

func (c *Cleaner) poke() {
	select {
	case c.poked <- struct{}{}:
	default:
	}
}

// Retries after a sweep that failed, doubled from the first to the last.
const (
	firstRetry = 50 * time.Millisecond
	lastRetry  = 10 * time.Second
)

// Run sweeps whenever it is poked, until ctx ends, and returns nil then. report
// is told about each sweep.
func (c *Cleaner) Run(ctx context.Context, report func(Sweep)) error {
	var retry <-chan time.Time
	wait := firstRetry
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-c.poked:
		case <-retry:
		case now := <-c.answers.next(time.Now()):
			if err := c.sweepAnswers(now); err != nil {
				report(Sweep{Err: err})
			}
			continue
		}
		retry = nil
		done := c.sweep()
		report(done)
		if done.Err != nil {
			retry = time.After(wait)
			wait = min(2*wait, lastRetry)
			continue
		}
		wait = firstRetry
	}
}

// targeted is how many frontends are asked for one by one, each of which makes
// the kernel walk its table once; of more, all flows are taken.
const targeted = 3

// sweep looks at what is due. What fails stays due.
func (c *Cleaner) sweep() (s Sweep) {
	local, err := localAddrs(c.ns)
	if err != nil {
		return Sweep{Err: err}
	}
	t, err := openTable(c.ns)
	if err != nil {
		return Sweep{Err: err}
	}
	defer func() { _ = t.close() }()

	c.mu.Lock()
	c.local = local
	all := c.all || len(c.due) > targeted
	due := slices.Collect(maps.Keys(c.due))
	c.mu.Unlock()

	if all {
		s.Err = errors.Join(c.sweepWhere(t, false, nil, &s), c.sweepWhere(t, true, nil, &s))
	} else {
		for _, frontend := range due {
			s.Err = errors.Join(s.Err, c.sweepWhere(t, frontend.IP.Is6(), &frontend, &s))
		}
	}
	if s.Err == nil {
		c.done(due, all)
	}
	return s
}

// done takes what was swept off the list. A frontend that changed meanwhile has
// poked again, and is looked at again.
func (c *Cleaner) done(due []inet.Addr, all bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.poked) > 0 {
		return
	}
	for _, frontend := range due {
		delete(c.due, frontend)
		c.view.Forget(frontend)
	}
	if all {
		c.all = false
	}
}

func (c *Cleaner) sweepWhere(t *table, v6 bool, only *inet.Addr, s *Sweep) error {
	var stale []Flow
	err := t.dump(v6, only, func(f Flow) {
		s.Scanned++
		c.mu.Lock()
		if c.view.Stale(f) {
			stale = append(stale, f)
		}
		c.mu.Unlock()
	})
	errs := []error{err}
	for _, f := range stale {
		if err := t.delete(f); err != nil {
			errs = append(errs, err)
			continue
		}
		s.Deleted++
		c.answers.expect(f, time.Now())
	}
	return errors.Join(errs...)
}

// localAddrs returns the addresses of the namespace, for NodePorts.
func localAddrs(ns int) (map[netip.Addr]struct{}, error) {
	handle := &netlink.Handle{}
	var err error
	// Without a family the library opens sockets of all that it knows, of which
	// a kernel may lack XFRM.
	if ns == 0 {
		handle, err = netlink.NewHandle(unix.NETLINK_ROUTE)
	} else {
		handle, err = netlink.NewHandleAt(netns.NsHandle(ns), unix.NETLINK_ROUTE)
	}
	if err != nil {
		return nil, fmt.Errorf("open netlink socket: %w", err)
	}
	defer handle.Close()
	list, err := handle.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	out := make(map[netip.Addr]struct{}, len(list))
	for _, a := range list {
		if ip, ok := netip.AddrFromSlice(a.IP); ok {
			out[ip.Unmap()] = struct{}{}
		}
	}
	return out, err
}
