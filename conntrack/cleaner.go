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

// Config says what a Cleaner does.
type Config struct {
	// Namespace holds the flows; nil is that of the process.
	Namespace *netns.NS
	// EndEstablished deletes established TCP flows to removed endpoints, too.
	EndEstablished bool
}

// Cleaner deletes stale flows in one network namespace. Set, Delete and SweepAll
// are safe for concurrent use and never wait for the kernel. Run does the work,
// in one goroutine.
type Cleaner struct {
	cfg   Config
	inbox *worker.Inbox[work]
	calls nl.Calls // nil outside of tests

	// Run alone uses these. kept is nil until a search needs it, and after a failure. The
	// next search of all flows begins at allAt at the earliest.
	late  lateReplies
	kept  *table
	allAt time.Time

	mu    sync.Mutex
	view  *View
	local map[netip.Addr]struct{}
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
func (c *Cleaner) Set(frontend inet.Addr, serving, existing []netip.AddrPort) {
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
// seconds, so that they take little of a core.
func (c *Cleaner) SweepAll() {
	c.inbox.Add(func(w *work) bool {
		w.all = true
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

// The next search begins after rest times what the last one took, and after
// lastRest at most. That keeps searches below a fifth of one core while endpoints
// change all the time.
const (
	rest     = 4
	lastRest = time.Second
)

// The next search of all flows begins after restAll times what the last one took, and after
// lastRestAll at most, because clients wait for it.
const (
	restAll     = 50
	lastRestAll = 5 * time.Second
)

// Run searches for stale flows whenever something changed, until ctx is done, and
// returns nil then. It calls report after each search.
func (c *Cleaner) Run(ctx context.Context, report func(Sweep)) error {
	again := time.AfterFunc(time.Hour, c.inbox.Wake)
	defer again.Stop()
	defer func() { _ = c.drop() }()
	backoff := worker.Backoff{First: 50 * time.Millisecond, Last: 10 * time.Second}
	return worker.Run(ctx, c.inbox.Woken(), backoff, func(ctx context.Context) error {
		began := time.Now()
		s, done, next := c.pass(began)
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

// pause waits for d or until ctx is done.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// pass does all work that is due. done is false if there was nothing to report. next is
// when other work becomes due, or zero.
func (c *Cleaner) pass(now time.Time) (s Sweep, done bool, next time.Time) {
	var w work
	c.inbox.Add(func(all *work) bool {
		w, next = all.due(now, c.allAt)
		return false
	})
	if !w.none() {
		s, done = c.sweep(w), true
	}
	if w.all {
		end := time.Now()
		c.allAt = end.Add(min(restAll*end.Sub(now), lastRestAll))
	}
	at, ok := c.late.next()
	if ok && !at.After(now) {
		late := c.checkLate(now)
		done = done || late.Deleted > 0 || late.Err != nil
		s.Scanned += late.Scanned
		s.Deleted += late.Deleted
		s.Err = errors.Join(s.Err, late.Err)
		at, ok = c.late.next()
	}
	if ok && (next.IsZero() || at.Before(next)) {
		next = at
	}
	return s, done, next
}

// targeted is how many frontends are searched one by one. Each search makes the
// kernel walk its whole table; for more frontends, one walk for each protocol and
// family reports all flows.
const targeted = 3

// table returns the kernel's table, which stays open. nf_tables hears of each netfilter
// socket that is closed: it keeps the mutex of all commits while it waits for what earlier
// commits destroy, some 20 ms (nft_rcv_nl_event in kernel 6.18). A search twice a second
// would stop the loop for so long each time.
func (c *Cleaner) table() (*table, error) {
	if c.kept == nil {
		t, err := openTable(c.cfg.Namespace, c.calls)
		if err != nil {
			return nil, err
		}
		c.kept = t
	}
	return c.kept, nil
}

// drop closes the table, so that the next search begins with new sockets.
func (c *Cleaner) drop() error {
	if c.kept == nil {
		return nil
	}
	t := c.kept
	c.kept = nil
	return t.close()
}

// dropAfter is drop after an error, which it returns.
func (c *Cleaner) dropAfter(err error) error {
	if err == nil {
		return nil
	}
	return errors.Join(err, c.drop())
}

// sweep does the work. Work that fails becomes due again.
func (c *Cleaner) sweep(w work) (s Sweep) {
	defer func() {
		s.Err = c.dropAfter(s.Err)
		c.finish(w, s.Err)
	}()
	local, err := localAddrs(c.cfg.Namespace, c.calls)
	if err != nil {
		return Sweep{Err: err}
	}
	t, err := c.table()
	if err != nil {
		return Sweep{Err: err}
	}
	c.mu.Lock()
	c.local = local
	c.mu.Unlock()
	for _, q := range c.queries(w) {
		s.Err = errors.Join(s.Err, c.sweepWhere(t, q, &s))
	}
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

func (c *Cleaner) sweepWhere(t *table, q query, s *Sweep) error {
	var stale []Flow
	err := t.dump(q, func(f Flow) {
		s.Scanned++
		if c.stale(f) {
			stale = append(stale, f)
		}
	})
	errs := []error{err}
	for _, f := range stale {
		errs = append(errs, c.remove(t, f, s))
	}
	return errors.Join(errs...)
}

func (c *Cleaner) stale(f Flow) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.view.Stale(f)
}

// remove deletes a flow that a dump reported, unless it changed since: the dump of
// a large table takes a while, and the client may have a new flow by now.
func (c *Cleaner) remove(t *table, f Flow, s *Sweep) error {
	now, ok, err := t.get(f)
	if err != nil || !ok || now.Client != f.Client || !c.stale(now) {
		return err
	}
	if err := t.delete(now); err != nil {
		return err
	}
	s.Deleted++
	if !c.late.add(now, time.Now()) {
		return fmt.Errorf("watch for late replies to %s: %d clients are watched, the limit", f.Client, lateLimit)
	}
	return nil
}

// checkLate checks all clients that are due: see lateReplies. A check that fails
// is made again.
func (c *Cleaner) checkLate(now time.Time) (s Sweep) {
	defer func() { s.Err = c.dropAfter(s.Err) }()
	t, err := c.table()
	if err != nil {
		s.Err = err
	}
	for r := c.late.due(now); r != nil; r = c.late.due(now) {
		if t == nil {
			c.late.again(r, false, now)
			continue
		}
		s.Scanned++
		seen, right, err := c.checkClient(t, r.Flow, &s)
		if s.Err = errors.Join(s.Err, err); right {
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
	if now.Client == f.Client && !c.stale(now) {
		return true, true, nil
	}
	if err := t.delete(now); err != nil {
		return true, false, err
	}
	s.Deleted++
	return true, false, nil
}
