// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nat

// count gives all backends of the frontend a counter, or takes it away. Each is
// replaced where it is, by one operation of two halves in one batch, so that
// no packet misses it; a frontend of many backends takes several batches, and
// may be called back between them. It returns false at the limit.
func (p *planner) count(on bool) bool {
	if p.now.counted == on {
		for p.now.switched > 0 {
			if p.b.size() >= p.limit {
				return false
			}
			p.now.switched--
			p.recount(p.now.switched, on)
		}
		return true
	}
	for p.now.switched < len(p.now.slots)+len(p.now.locals) {
		if p.b.size() >= p.limit {
			return false
		}
		p.recount(p.now.switched, on)
		p.now.switched++
	}
	p.now.counted, p.now.switched = on, 0
	return true
}

// recount replaces the i-th backend, locals after slots.
func (p *planner) recount(i int, on bool) {
	set, list := backendsOf(p.key), p.now.slots
	if n := len(list); i >= n {
		set, list, i = localsOf(p.key), p.now.locals, i-n
	}
	if list[i] == hole || list[i] == unknown {
		return // not there, or replaced with what is wrong about it
	}
	e := p.slotElement(set, i, list[i])
	e.counter = !on
	p.b.dels = append(p.b.dels, e)
	e.counter = on
	p.b.adds = append(p.b.adds, e)
}

// uncount gives up a change of counters that is not finished, for a frontend
// that goes.
func (p *planner) uncount() {
	if p.now.switched > 0 {
		p.now.slots, p.now.locals = forget(p.now.slots), forget(p.now.locals)
		p.now.switched = 0
	}
}
