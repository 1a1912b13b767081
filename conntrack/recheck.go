// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package conntrack

import (
	"context"
	"time"

	"fairlead/internal/inet"
)

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
