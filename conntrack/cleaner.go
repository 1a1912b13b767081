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

// Run searches for stale flows whenever something changed, until ctx is done, and
// returns nil then. It calls report after each search.
func (c *Cleaner) Run(ctx context.Context, report func(Sweep)) error {
	again := time.AfterFunc(time.Hour, c.inbox.Wake)
	defer again.Stop()
	defer func() { _ = c.kept.drop() }()
	backoff := worker.Backoff{First: 50 * time.Millisecond, Last: 10 * time.Second}
	return worker.Run(ctx, c.inbox.Woken(), backoff, func(ctx context.Context) error {
		began := time.Now()
		s, done, next := c.pass(ctx, began)
		if ctx.Err() != nil {
			return nil
		}
		if done {
			report(s)
		}
		if !next.IsZero() {
			again.Reset(time.Until(next))
		}
		pause(ctx, min(rest*time.Since(began), lastRest))
		return s.Err
	})
}

// pass does all work that is due. done is false if there was nothing to report. next is
// when other work becomes due, or zero.
func (c *Cleaner) pass(ctx context.Context, now time.Time) (s Sweep, done bool, next time.Time) {
	s, done, next = c.passDue(ctx, now)
	for _, again := range []struct {
		at    func() (time.Time, bool)
		check func(context.Context, time.Time) Sweep
	}{{c.late.next, c.checkLate}, {c.bypassed.due, c.checkBypassed}} {
		at, ok := again.at()
		if ok && !at.After(now) {
			done = s.add(again.check(ctx, now)) || done
			at, ok = again.at()
		}
		if ok && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	return s, done, next
}

// passDue does the work that is due. It says whether there was any, and when more is due, which is zero for
// never.
func (c *Cleaner) passDue(ctx context.Context, now time.Time) (s Sweep, done bool, next time.Time) {
	var w work
	c.inbox.Add(func(all *work) bool {
		w, next = all.due(now, c.allAt)
		return false
	})
	if !w.none() {
		s, done = c.sweep(ctx, w), true
	}
	end := time.Now()
	if w.opens {
		c.inbox.Add(func(all *work) bool {
			all.rest(end, end.Sub(now))
			return false
		})
	}
	if w.all {
		c.allAt = end.Add(min(restAll*end.Sub(now), lastRestAll))
	}
	return s, done, next
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

// checkLate checks all clients that are due: see lateReplies. A check that fails
// is made again.
func (c *Cleaner) checkLate(ctx context.Context, now time.Time) (s Sweep) {
	var errs failures
	defer func() { s.Err = c.kept.dropAfter(errs.err()) }()
	t, err := c.kept.get(c.cfg.Namespace, c.calls)
	errs.add(err)
	for r := c.late.due(now); r != nil; r = c.late.due(now) {
		if t == nil || errs.end(ctx) {
			c.late.again(r, false, now)
			continue
		}
		s.Scanned++
		seen, right, err := c.checkClient(t, r.Flow, &s)
		errs.add(err)
		if right {
			c.late.done(r)
		} else {
			c.late.again(r, seen, now)
		}
	}
	return s
}

// checkClient deletes the flow of a client, in whatever direction, unless it is
// right. seen tells that there was one.
func (c *Cleaner) checkClient(t *table, f Flow, s *Sweep) (seen, right bool, err error) {
	now, ok, err := t.get(f)
	if err != nil || !ok {
		return false, false, err
	}
	if now.Client == f.Client && !c.stale(now.Flow) {
		return true, true, nil
	}
	if err := t.delete(now.Flow); err != nil {
		return true, false, err
	}
	s.Deleted++
	return true, false, nil
}

// checkBypassed looks again at flows that perhaps missed masquerade.
func (c *Cleaner) checkBypassed(ctx context.Context, now time.Time) (s Sweep) {
	var errs failures
	defer func() { s.Err = c.kept.dropAfter(errs.err()) }()
	c.bypassed.next = now.Add(bypassEvery)
	t, err := c.kept.get(c.cfg.Namespace, c.calls)
	errs.add(err)
	if err != nil {
		return s
	}
	for f, was := range c.bypassed.of {
		if errs.end(ctx) {
			break
		}
		s.Scanned++
		e, ok, err := t.get(f)
		if errs.add(err); err != nil {
			continue
		}
		_, perhaps := c.missed(&e)
		switch {
		case !ok || e.Flow != f || !perhaps || now.After(c.bypassed.until):
			delete(c.bypassed.of, f)
		case f.Dialled.Proto != inet.UDP || was.refreshed(e.left, now):
			delete(c.bypassed.of, f)
			if err := t.delete(f); err != nil {
				errs.add(err)
			} else {
				s.Deleted++
			}
		}
	}
	return s
}
