// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// never is the end of what has not ended.
const never = time.Duration(math.MaxInt64)

// event is what was done.
type event struct {
	Step
	from, to time.Duration // to is never while it lasts
}

// History says what was done and when, as opposed to what was planned. Its zero value is
// empty. It is not safe for concurrent use.
type History struct {
	events []event
	busy   []span // when the machine did not get around to its clients, in order and apart
}

// Begin records that an event begins at a time.
func (h *History) Begin(s Step, at time.Duration) {
	to := at
	if s.Kind.Lasts() {
		to = never
	}
	h.events = append(h.events, event{Step: s, from: at, to: to})
}

// End records that an event has ended: what it took away is back.
func (h *History) End(s Step, at time.Duration) {
	if i := slices.IndexFunc(h.events, func(e event) bool { return e.Event == s.Event }); i >= 0 {
		h.events[i].to = at
	}
}

// Count returns how many events of a kind there were.
func (h *History) Count(k Kind) int {
	n := 0
	for _, e := range h.events {
		if e.Kind == k {
			n++
		}
	}
	return n
}

// Down reports whether an event has ended the agent of a node that has not ended itself.
func (h *History) Down(node int) bool {
	return slices.ContainsFunc(h.events, func(e event) bool {
		return e.Node == node && e.to == never && (e.Kind == Kill || e.Kind == Memory)
	})
}

// span is a time in which connections may suffer.
type span struct{ from, to time.Duration }

// Covered reports whether connections may fail, or established ones stall, from the
// first time to the second: an event without a gap may have caused it, and each was
// repaired in time.
func (h *History) Covered(from, to time.Duration) bool {
	return covered(h.outages(func(p promise) bool { return p.outage > 0 }), from, to)
}

// MayReset reports whether an established connection may break between two times.
func (h *History) MayReset(from, to time.Duration) bool {
	spans := h.outages(func(p promise) bool { return p.resets })
	return slices.ContainsFunc(spans, func(s span) bool { return s.from <= to && from <= s.to })
}

const (
	// longestRTO is the longest time between two attempts of TCP (TCP_RTO_MAX of Linux).
	longestRTO = 2 * time.Minute
	// probed is how often clients ask whether their peer is still there.
	probed = 5 * time.Second
	// firstAttempt is the longest time from the first attempt of TCP to the second
	// (RFC 6298).
	firstAttempt = time.Second
)

// SilentUntil returns until when a TCP connection that waits since a time may hear nothing.
// TCP doubles the time between its attempts, so it is silent for up to twice as long as an
// outage, and meets outages that begin meanwhile. If its peer is gone, it learns so by the
// next attempt or, if it has nothing to send, by the next probe.
func (h *History) SilentUntil(since time.Duration, gone bool) time.Duration {
	until := since
	for _, s := range h.outages(func(p promise) bool { return p.outage > 0 }) {
		if s.to < since || s.from > until+firstAttempt {
			continue
		}
		if s.to == never {
			return never
		}
		next := min(s.to-since, longestRTO) + firstAttempt
		if gone {
			next = max(next, probed)
		}
		until = max(until, s.to+next)
	}
	return until
}

// Busy records a time in which a connection that nothing can disturb had to wait, because the
// machine had other things to do. Its beginning is not before that of an earlier one.
func (h *History) Busy(from, to time.Duration) {
	if n := len(h.busy); n > 0 {
		from = max(from, h.busy[n-1].to)
	}
	if from < to {
		h.busy = append(h.busy, span{from, to})
	}
}

// Fair returns what the second time would be on a machine that was never busy between the
// two. A busy machine counts twice, because agents wait for it as clients do.
func (h *History) Fair(from, to time.Duration) time.Duration {
	fair := to
	for _, s := range h.busy {
		if wait := min(s.to, to) - max(s.from, from); wait > 0 {
			fair -= 2 * wait
		}
	}
	return max(from, fair)
}

// Late reports whether agents may not yet have followed a change of the objects that
// was made at the first time, at the second.
func (h *History) Late(changed, now time.Duration) bool {
	spans := []span{{changed, changed + repair}}
	for _, e := range h.events {
		if promiseOf(e.Kind).away {
			spans = append(spans, span{e.from, e.back()})
		}
	}
	return covered(merge(spans), changed, now)
}

// Cause returns the latest event before a time that permits an outage, if any.
func (h *History) Cause(at time.Duration) (k Kind, from time.Duration, ok bool) {
	for _, e := range h.events {
		if promiseOf(e.Kind).outage > 0 && e.from <= at && (!ok || e.from >= from) {
			k, from, ok = e.Kind, e.from, true
		}
	}
	return k, from, ok
}

// back returns when the node has caught up after an event that keeps its agent away.
func (e event) back() time.Duration {
	if e.to == never {
		return never
	}
	// Retries double their pauses, so a long absence may be noticed late.
	late := max(catchUp, e.to-e.from)
	if e.Kind == APIServer {
		late = max(late, reconnect)
	}
	return e.to + late
}

// outages returns the spans in which connections may suffer from some events, in order
// and apart.
func (h *History) outages(some func(promise) bool) []span {
	var spans []span
	for _, e := range h.events {
		if p := promiseOf(e.Kind); some(p) {
			spans = append(spans, span{e.from, h.delayed(e, e.from+p.outage)})
		}
	}
	return merge(spans)
}

// delayed returns until when a repair may take if the node's agent is away meanwhile.
func (h *History) delayed(damage event, until time.Duration) time.Duration {
	for again := true; again; {
		again = false
		for _, e := range h.events {
			mine := e.Node == damage.Node
			if e.Kind == APIServer {
				mine = h.startedWithout(e, damage.Node)
			}
			if mine && promiseOf(e.Kind).away && e.from <= until && e.back() > until && e.back() >= damage.from {
				until, again = e.back(), until != never
			}
		}
	}
	return until
}

// startedWithout reports whether the agent of a node started while an API server was away.
// It repairs little then before that is back. One that runs needs no API server for the table.
func (h *History) startedWithout(api event, node int) bool {
	return slices.ContainsFunc(h.events, func(e event) bool {
		return e.Node == node && (e.Kind == Kill || e.Kind == Memory) && e.back() >= api.from && e.to <= api.to
	})
}

// merge returns spans in order, without overlaps.
func merge(spans []span) []span {
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	var out []span
	for _, s := range spans {
		if n := len(out); n > 0 && s.from <= out[n-1].to {
			out[n-1].to = max(out[n-1].to, s.to)
			continue
		}
		out = append(out, s)
	}
	return out
}

// covered reports whether one span holds both times.
func covered(spans []span, from, to time.Duration) bool {
	return slices.ContainsFunc(spans, func(s span) bool { return s.from <= from && to <= s.to })
}
