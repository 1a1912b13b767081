// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package conntrack

import (
	"context"
	"time"

	"fairlead/internal/worker"
)

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
