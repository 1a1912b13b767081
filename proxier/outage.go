// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"sync"
	"time"
)

// OutageWindow is the time that Outage looks back on.
const OutageWindow = 10 * time.Second

// outage follows for how long parts of the table were missing or changed, because another
// program removes them as often as they are repaired. Objects that a program adds, and that are
// removed again, count as no outage. It is safe for concurrent use.
type outage struct {
	mu      sync.Mutex
	changed time.Time // first change since the last look at the table
	from    time.Time // first change that led to the look or repair that is under way
	broken  bool      // the repair under way puts something back
	spans   []span    // earlier outages, in order
}

type span struct{ from, to time.Time }

// change notes that another program changed something.
func (o *outage) change(now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.changed.IsZero() {
		o.changed = now
	}
}

// look notes that the table is read.
func (o *outage) look() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.from.IsZero() {
		o.from = o.changed
	}
	o.changed = time.Time{}
}

// repairing notes that something was put back.
func (o *outage) repairing(now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.broken = true; o.from.IsZero() {
		o.from = now
	}
}

// done notes that nothing is left to repair.
func (o *outage) done(now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.broken {
		o.spans = append(o.spans, span{o.from, now})
	}
	for len(o.spans) > 0 && now.Sub(o.spans[0].to) >= OutageWindow {
		o.spans = o.spans[1:]
	}
	o.from, o.broken = time.Time{}, false
}

// within returns for how long something was missing in the window that ends now.
func (o *outage) within(now time.Time) time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	begin, total := now.Add(-OutageWindow), time.Duration(0)
	add := func(s span) {
		if s.from.Before(begin) {
			s.from = begin
		}
		total += max(0, s.to.Sub(s.from))
	}
	for _, s := range o.spans {
		add(s)
	}
	if o.broken {
		add(span{o.from, now})
	}
	return total
}
