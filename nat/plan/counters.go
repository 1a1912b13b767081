// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import "fairlead/nat/ruleset"

// switchCounters gives all backends of the frontend a counter, or removes it. Each
// backend is replaced in its slot within one batch, so no packet misses it. A
// frontend of many backends takes several batches, and its settings may change
// back between them. It returns false when there is no room left.
func (p *planner) switchCounters(on bool) bool {
	if p.now.counted == on {
		for p.now.switched > 0 {
			if p.room <= 0 {
				return false
			}
			p.now.switched--
			p.switchOne(int(p.now.switched), on)
		}
		return true
	}
	for int(p.now.switched) < len(p.now.slots)+len(p.now.locals) {
		if p.room <= 0 {
			return false
		}
		p.switchOne(int(p.now.switched), on)
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
	if list[i].isEmpty() || list[i].stale {
		return // absent, or replaced for another reason
	}
	e := p.slotElement(set, i, list[i])
	e.Counter = !on
	p.del(e)
	e.Counter = on
	p.add(e)
}

// abandonSwitch ends a change of counters that is not finished, for a frontend that
// is removed.
func (p *planner) abandonSwitch() {
	if p.now.switched > 0 {
		p.now.slots, p.now.locals = markStale(p.now.slots), markStale(p.now.locals)
		p.now.switched, p.now.exact = 0, nil
	}
}
