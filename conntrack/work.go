// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package conntrack

import (
	"context"
	"time"

	"fairlead/internal/inet"
)

// openingDelay is how long a search for opening flows of TCP and SCTP may wait. Each
// search makes the kernel walk its whole table, so changes in quick succession share
// one. A client whose endpoint is gone sends nothing before its retransmission after a
// second (RFC 6298, RFC 9260), so a flow that is deleted before then costs it no time.
// A client of UDP may send at any moment, so searches for its flows do not wait.
const openingDelay = 500 * time.Millisecond

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

// While endpoints change all the time, the next search for opening flows begins after
// restOpening times what the last one took, and after lastRestOpening at most. So these
// searches take a hundredth of a core, where a table of 262,144 buckets takes 10 ms. The last
// rest ends before the second retransmission of a client, three seconds after its first packet.
const (
	restOpening     = 100
	lastRestOpening = 2 * time.Second
)

// work names the frontends whose flows may be stale. The zero value is none.
type work struct {
	frontends map[inet.Addr]struct{} // due at once
	opening   map[inet.Addr]struct{} // due at openingAt
	openingAt time.Time
	rested    time.Time // openingAt is not before
	opens     bool      // frontends has those of opening
	all       bool      // all flows may be stale
	loose     bool      // connections may be in another state than the kernel believes; all is set, too
}

// rest tells that a search for opening flows ended that took some time.
func (w *work) rest(end time.Time, took time.Duration) {
	w.rested = end.Add(min(restOpening*took, lastRestOpening))
	w.waitRested()
}

func (w *work) waitRested() {
	if w.opening != nil && w.openingAt.Before(w.rested) {
		w.openingAt = w.rested
	}
}

// add makes a search for the flows of a frontend due, now or later. It reports whether
// the worker has to wake up to learn that.
func (w *work) add(frontend inet.Addr, now time.Time) bool {
	if frontend.Proto == inet.UDP {
		w.addNow(frontend)
		return true
	}
	first := w.opening == nil
	if first {
		w.opening, w.openingAt = map[inet.Addr]struct{}{}, now.Add(openingDelay)
		w.waitRested()
	}
	w.opening[frontend] = struct{}{}
	return first
}

// addNow makes a search due at once.
func (w *work) addNow(frontend inet.Addr) {
	if w.frontends == nil {
		w.frontends = map[inet.Addr]struct{}{}
	}
	w.frontends[frontend] = struct{}{}
}

func (w *work) has(frontend inet.Addr) bool {
	_, now := w.frontends[frontend]
	_, later := w.opening[frontend]
	return now || later
}

func (w *work) none() bool { return len(w.frontends) == 0 && !w.all }

// due takes out what is due, and returns when the rest is, zero for no rest. A search of
// all flows waits until allAt, and includes the rest.
func (w *work) due(now, allAt time.Time) (work, time.Time) {
	out := work{frontends: w.frontends, all: w.all && !allAt.After(now)}
	out.loose = w.loose && out.all
	w.frontends, w.all, w.loose = nil, w.all && !out.all, w.loose && !out.all
	if !out.all && w.openingAt.After(now) {
		if w.all && allAt.Before(w.openingAt) {
			return out, allAt
		}
		return out, w.openingAt
	}
	out.opens = len(w.opening) > 0
	for frontend := range w.opening {
		out.addNow(frontend)
	}
	w.opening, w.openingAt = nil, time.Time{}
	if w.all {
		return out, allAt
	}
	return out, time.Time{}
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
