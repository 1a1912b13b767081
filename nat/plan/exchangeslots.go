// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"slices"

	"fairlead/nat"
	"fairlead/nat/ruleset"
)

const (
	// leastExchanged is how many backends a list has for which exchangeSlots is worthwhile.
	leastExchanged = 64
	// mostExchanged is how many backends come and how many go in a change that exchangeSlots makes.
	mostExchanged = 16
)

// exchangeSlots does what putSlots does for the backends, if only a few of many change: it finds
// these by a comparison of the list that the slots hold with the wanted one, instead of looking up each
// backend. It reports false, and does nothing, if putSlots has to do it.
func (p *planner) exchangeSlots(exact *[]nat.Backend, want []nat.Backend) bool {
	slots := p.now.slots
	if exact == nil || len(want) < leastExchanged || len(*exact) != len(slots) {
		return false
	}
	came, gone, few := differs(*exact, want)
	if !few {
		return false
	}
	holes := find(slots, gone)
	if len(holes) != len(gone) {
		return false
	}
	// The last slots move into the holes, and new backends get what is left, as in arrange.
	for i := len(want); i < len(slots); i++ {
		if _, empty := slices.BinarySearch(holes, i); !empty {
			came = append(came, nat.BackendAt(slots[i].backend(), false))
		}
	}
	slices.SortFunc(came, nat.Backend.CompareAddr)
	for i := len(slots); i < len(want); i++ {
		holes = append(holes, i)
	}
	if len(came) == 0 {
		return true
	}
	before, set := *p, ruleset.BackendsOf(p.key)
	slots = append(make([]slot, 0, max(len(slots), len(want))), slots...)
	for n, b := range came {
		if p.room <= 0 {
			*p = before
			return false
		}
		i := holes[n]
		if i < len(slots) {
			p.del(p.slotElement(set, i, slots[i]))
		} else {
			slots = append(slots, slot{})
		}
		slots[i] = slotOf(b.AddrPort())
		p.add(p.slotElement(set, i, slots[i]))
		p.need(b.Addr())
	}
	p.now.slots = slots
	return true
}

// differs returns what only the second and what only the first of two sorted lists has. It reports
// false if either is more than mostExchanged.
func differs(a, b []nat.Backend) (came, gone []nat.Backend, few bool) {
	for was, is := range exchanged(a, b, func(int) {}) {
		switch {
		case is == nil:
			gone = append(gone, *was)
		case was == nil:
			came = append(came, *is)
		} // both are the same on another node, which is nothing to its slot
		if max(len(came), len(gone)) > mostExchanged {
			return nil, nil, false
		}
	}
	return came, gone, true
}

// find returns the places of backends in slots, in order.
func find(slots []slot, backends []nat.Backend) (at []int) {
	if len(backends) == 0 {
		return nil
	}
	wanted := make([]slot, len(backends))
	var bits [1 << 16 / 64]uint64 // one for each value of inet.Bytes.Low, so that few slots are compared
	for i, b := range backends {
		wanted[i] = slotOf(b.AddrPort())
		low := wanted[i].ip.Low()
		bits[low/64] |= 1 << (low % 64)
	}
	for i := range slots {
		if low := slots[i].ip.Low(); bits[low/64]&(1<<(low%64)) != 0 && slices.Contains(wanted, slots[i]) {
			at = append(at, i)
		}
	}
	return at
}
