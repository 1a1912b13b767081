// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package conntrack

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"fairlead/internal/inet"
	"fairlead/internal/netns"
	"fairlead/internal/nl"
	"fairlead/internal/worker"
)

// Sweep is the outcome of one search for stale flows.
type Sweep struct {
	Scanned int   // flows that the kernel reported
	Deleted int   // stale flows
	Err     error // why the search will be repeated, or nil
}

// add adds a later search. It says whether that found or met anything to report.
func (s *Sweep) add(later Sweep) bool {
	s.Scanned += later.Scanned
	s.Deleted += later.Deleted
	s.Err = errors.Join(s.Err, later.Err)
	return later.Deleted > 0 || later.Err != nil
}

// Config says what a Cleaner does.
type Config struct {
	// Namespace holds the flows; nil is that of the process.
	Namespace *netns.NS
	// EndEstablished deletes established TCP flows to removed endpoints, too.
	EndEstablished bool
}

// Cleaner deletes stale flows in one network namespace. Set, Delete, SweepAll and Loosen
// are safe for concurrent use and never wait for the kernel. Run does the work,
// in one goroutine.
type Cleaner struct {
	cfg   Config
	inbox *worker.Inbox[work]
	calls nl.Calls // nil outside of tests

	// Run alone uses these. kept is nil until a search needs it, and after a failure. The
	// next search of all flows begins at allAt at the earliest.
	late  lateReplies
	kept  kept
	allAt time.Time
	// bypassed are flows that perhaps missed masquerade.
	bypassed bypasses

	mu     sync.Mutex
	view   *View
	local  map[netip.Addr]struct{}
	leaves Leaves
}

// NewCleaner returns a Cleaner that does nothing until Run.
func NewCleaner(cfg Config) *Cleaner {
	c := &Cleaner{cfg: cfg, inbox: worker.NewInbox[work]()}
	c.view = NewView(func(ip netip.Addr) bool {
		_, ok := c.local[ip]
		return ok
	}, cfg.EndEstablished)
	return c
}

// Set replaces the endpoints of a frontend, see Backends, and schedules a search
// for flows that became stale. Call it after the kernel's rules changed, or the
// next packet would bring a deleted flow back.
func (c *Cleaner) Set(frontend inet.Addr, serving, existing inet.AddrPorts) {
	c.change(frontend, func() bool { return c.view.Set(frontend, Backends{serving, existing}) })
}

// Delete removes a frontend and schedules a search for flows that became stale.
// Call it after the kernel's rules changed.
func (c *Cleaner) Delete(frontend inet.Addr) {
	c.change(frontend, func() bool { return c.view.Delete(frontend) })
}

// SweepAll schedules a search among all flows. Call it once after a restart,
// because endpoints may have changed while the agent was down, and after a repair of the
// kernel's rules, because packets may have met none. The next such search may wait for some
// seconds, so that they take little of a core. leaves is called by other goroutines; nil is
// for a table that masquerades nothing that leaves the cluster.
func (c *Cleaner) SweepAll(leaves Leaves) {
	c.mu.Lock()
	c.leaves = leaves
	c.mu.Unlock()
	c.inbox.Add(func(w *work) bool {
		w.all = true
		return true
	})
}

// Loosen makes the next search of all flows, which it schedules, make the kernel accept
// unexpected sequence numbers of the TCP connections that there are. Call it after SweepAll if the
// kernel had no table, because it may have tracked no connections meanwhile.
func (c *Cleaner) Loosen() {
	c.inbox.Add(func(w *work) bool {
		w.all, w.loose = true, true
		return true
	})
}

func (c *Cleaner) change(frontend inet.Addr, f func() bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f() {
		c.inbox.Add(func(w *work) bool { return w.add(frontend, time.Now()) })
	}
}

// targeted is how many frontends are searched one by one. Each search makes the
// kernel walk its whole table; for more frontends, one walk for each protocol and
// family reports all flows.
const targeted = 3

// sweep does the work. Work that fails becomes due again.
func (c *Cleaner) sweep(ctx context.Context, w work) (s Sweep) {
	defer func() {
		s.Err = c.kept.dropAfter(s.Err)
		c.finish(w, s.Err)
	}()
	local, err := localAddrs(c.cfg.Namespace, c.calls)
	if err != nil {
		return Sweep{Err: err}
	}
	t, err := c.kept.get(c.cfg.Namespace, c.calls)
	if err != nil {
		return Sweep{Err: err}
	}
	c.mu.Lock()
	c.local = local
	c.mu.Unlock()
	var errs failures
	for _, q := range c.queries(w) {
		if errs.end(ctx) {
			break
		}
		errs.add(c.sweepWhere(ctx, t, q, w.all, &s))
	}
	if w.loose && !errs.end(ctx) {
		errs.add(t.loosen())
	}
	s.Err = errs.err()
	return s
}

// finish purges removed frontends whose flows are gone, or makes the work due
// again if it failed. A frontend that changed meanwhile is due again already.
func (c *Cleaner) finish(w work, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inbox.Add(func(due *work) bool {
		for frontend := range w.frontends {
			if err != nil {
				due.addNow(frontend)
			} else if !due.has(frontend) {
				c.view.Purge(frontend)
			}
		}
		due.all = due.all || w.all && err != nil
		due.loose = due.loose || w.loose && err != nil
		return false // worker.Run repeats a pass that failed.
	})
}

// queries returns which flows to look at.
func (c *Cleaner) queries(w work) []query {
	seen := map[query]struct{}{}
	var out []query
	put := func(q query) {
		q.unassured = q.proto != inet.UDP && (q.proto != inet.TCP || !c.cfg.EndEstablished)
		if _, twice := seen[q]; !twice {
			seen[q] = struct{}{}
			out = append(out, q)
		}
	}
	if w.all {
		for _, proto := range []inet.Proto{inet.UDP, inet.TCP, inet.SCTP} {
			put(query{proto: proto})
			put(query{proto: proto, v6: true})
		}
		return out
	}
	for frontend := range w.frontends {
		q := query{proto: frontend.Proto, v6: frontend.IP.Is6()}
		if len(w.frontends) <= targeted {
			q.only = &frontend
		}
		put(q)
	}
	return out
}

func (c *Cleaner) sweepWhere(ctx context.Context, t *table, q query, all bool, s *Sweep) error {
	var stale []Flow
	now := time.Now()
	err := t.dump(q, func(e entry) {
		s.Scanned++
		if c.wrong(&e, all) {
			stale = append(stale, e.Flow)
			return
		}
		if !all {
			return
		}
		if _, perhaps := c.missed(&e); perhaps {
			c.bypassed.note(&e, now)
		}
	})
	var errs failures
	errs.add(err)
	for _, f := range stale {
		if errs.end(ctx) {
			break
		}
		errs.add(c.remove(t, f, all, s))
	}
	return errs.err()
}

// wrong reports whether a flow is stale, or in a search of all flows missed masquerade.
func (c *Cleaner) wrong(e *entry, all bool) bool {
	if c.stale(e.Flow) {
		return true
	}
	if !all {
		return false
	}
	surely, _ := c.missed(e)
	return surely
}

// missed is View.missed.
func (c *Cleaner) missed(e *entry) (surely, perhaps bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.view.missed(e, c.leaves)
}

func (c *Cleaner) stale(f Flow) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.view.Stale(f)
}

// remove deletes a flow that a dump reported, unless it changed since: the dump of
// a large table takes a while, and the client may have a new flow by now.
func (c *Cleaner) remove(t *table, f Flow, all bool, s *Sweep) error {
	now, ok, err := t.get(f)
	if err != nil || !ok || now.Client != f.Client || !c.wrong(&now, all) {
		return err
	}
	if err := t.delete(now.Flow); err != nil {
		return err
	}
	s.Deleted++
	if c.stale(now.Flow) && !c.late.add(now.Flow, time.Now()) {
		return fmt.Errorf("watch for late replies to %s: %d clients are watched, the limit", f.Client, lateLimit)
	}
	return nil
}
