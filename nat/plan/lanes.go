// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"cmp"
	"slices"

	"fairlead/internal/inet"
	"fairlead/nat/ruleset"
)

// lanes holds the frontends whose wanted and present state may differ, in the order in
// which they are written: those that others depend on; then those that changed a moment
// ago, so that a change does not wait for a load of the whole table; then all others.
type lanes struct {
	vital, fresh, rest queue[inet.Addr]
}

func newLanes() lanes {
	return lanes{newQueue[inet.Addr](), newQueue[inet.Addr](), newQueue[inet.Addr]()}
}

// mostFresh is how many frontends that are new to the kernel overtake others: about a
// batch. When an agent starts, all of them are new.
const mostFresh = ruleset.DefaultLimit

func (l *lanes) len() int { return l.vital.len() + l.fresh.len() + l.rest.len() }

func (l *lanes) remove(key inet.Addr) {
	l.vital.remove(key)
	l.fresh.remove(key)
	l.rest.remove(key)
}

// push adds a frontend that changed. One that waits already may move up; it never waits
// in two lanes. served says that the kernel has it.
func (l *lanes) push(key inet.Addr, vital, served bool) {
	switch {
	case vital:
		l.fresh.remove(key)
		l.rest.remove(key)
		l.vital.push(key)
	case served || l.fresh.has(key) || l.fresh.len() < mostFresh:
		l.vital.remove(key)
		l.rest.remove(key)
		l.fresh.push(key)
	default:
		l.vital.remove(key)
		l.rest.push(key)
	}
}

// pushLast adds a frontend that may have changed long ago.
func (l *lanes) pushLast(key inet.Addr, vital bool) {
	switch {
	case vital:
		l.push(key, vital, false)
	case !l.fresh.has(key):
		l.vital.remove(key)
		l.rest.push(key)
	}
}

// sort orders the frontends that did not just change: those with the most connections
// first, then by address.
func (l *lanes) sort(traffic map[inet.Addr]uint64) {
	l.vital.sort(inet.Addr.Compare)
	if len(traffic) == 0 {
		l.rest.sort(inet.Addr.Compare)
		return
	}
	l.rest.sort(func(a, b inet.Addr) int { return cmp.Or(cmp.Compare(traffic[b], traffic[a]), a.Compare(b)) })
}

// each calls f for the frontends of the lanes in order until it returns false, and reports
// whether it reached the end.
func each(f func(inet.Addr) bool, lanes ...*queue[inet.Addr]) bool {
	return !slices.ContainsFunc(lanes, func(q *queue[inet.Addr]) bool { return !q.each(f) })
}

func (l *lanes) compact() {
	l.vital.compact()
	l.fresh.compact()
	l.rest.compact()
}
