// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fairlead/nat/ruleset"
)

// switchCounters gives all backends of the frontend a counter, or takes it away. Each is
// replaced where it is, by one operation of two halves in one batch, so that
// no packet misses it; a frontend of many backends takes several batches, and
// may be called back between them. It returns false at the limit.
func (p *planner) switchCounters(on bool) bool {
	if p.now.counted == on {
		for p.now.switched > 0 {
			if p.s.Size() >= p.limit {
				return false
			}
			p.now.switched--
			p.switchOne(p.now.switched, on)
		}
		return true
	}
	for p.now.switched < len(p.now.slots)+len(p.now.locals) {
		if p.s.Size() >= p.limit {
			return false
		}
		p.switchOne(p.now.switched, on)
		p.now.switched++
	}
	p.now.counted, p.now.switched = on, 0
	return true
}

// switchOne replaces the i-th backend, locals after slots.
func (p *planner) switchOne(i int, on bool) {
	set, list := ruleset.BackendsOf(p.key), p.now.slots
	if n := len(list); i >= n {
		set, list, i = ruleset.LocalsOf(p.key), p.now.locals, i-n
	}
	if list[i] == emptySlot || list[i] == staleSlot {
		return // not there, or replaced with what is wrong about it
	}
	e := p.slotElement(set, i, list[i])
	e.Counter = !on
	p.s.Dels = append(p.s.Dels, e)
	e.Counter = on
	p.s.Adds = append(p.s.Adds, e)
}

// abandonSwitch gives up a change of counters that is not finished, for a frontend
// that goes.
func (p *planner) abandonSwitch() {
	if p.now.switched > 0 {
		p.now.slots, p.now.locals = markStale(p.now.slots), markStale(p.now.locals)
		p.now.switched = 0
	}
}
