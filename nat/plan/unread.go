// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"maps"
	"net/netip"
	"slices"

	"fairlead/internal/inet"
	"fairlead/nat/ruleset"
)

// Assume decides what is in the sets that Adopt found unread, before the first call of Next: an
// element for each backend in the kernel that lies in none of the ranges of the cluster that the kernel
// has. It returns false if the kernel has more of them or fewer; then Adopt must follow, with all
// elements.
func (s *State) Assume() bool {
	ms := &s.members
	if len(ms.unread.counts) == 0 {
		return true
	}
	counts := ms.unread.counts
	ms.unread = unread{}
	found := map[ruleset.Set]int{}
	assume := func(ip netip.Addr) {
		m := addressMember(ruleset.Outside, ip)
		ranges := s.have.ranges[ruleset.Set{Kind: ruleset.Cluster, Family: m.set.Family}]
		if _, is := counts[m.set]; !is || contains(ranges, ip) {
			return
		}
		if st := ms.all.get(&m); !st.have {
			st.have = true
			ms.put(&m, st)
			found[m.set]++
		}
	}
	for _, f := range s.have.frontends {
		for i := range f.slots {
			if !f.slots[i].isEmpty() {
				assume(f.slots[i].addr())
			}
		}
	}
	if !maps.Equal(found, counts) {
		return false
	}
	ms.unread.assumed = slices.SortedFunc(maps.Keys(counts), ruleset.CompareSets)
	ms.touchAll()
	return true
}

// Unchecked reports whether what Assume took for granted is still to be compared with the kernel.
func (s *State) Unchecked() bool { return len(s.members.unread.assumed) > 0 }

// Check is what to compare with the kernel next.
type Check struct {
	// Elements are up to n elements of one set that the kernel should have. They are valid until the
	// next Check.
	Elements []ruleset.Element
	// Counts is how many elements each set should have, when there are no more Elements to compare.
	Counts map[ruleset.Set]int
}

// Check returns what to compare next, at most n elements. When it has returned Counts nothing is left
// to do.
func (s *State) Check(n int) Check {
	ms := &s.members
	u := &ms.unread
	if !u.listed {
		ms.listUnchecked()
	}
	elements := u.buffer[:0]
	add := func(m *member) {
		if st := ms.all.get(m); st.have { // not deleted meanwhile
			elements = append(elements, ms.element(m))
		}
	}
	for ; len(u.left4) > 0 && len(elements) < n; u.left4 = u.left4[1:] {
		m := memberOf4(ruleset.Outside, u.left4[0])
		add(&m)
	}
	if len(elements) == 0 {
		for ; len(u.left) > 0 && len(elements) < n; u.left = u.left[1:] {
			add(&u.left[0])
		}
	}
	if u.buffer = elements; len(elements) > 0 {
		return Check{Elements: elements}
	}
	c := Check{Counts: ms.countHeld(u.assumed)}
	ms.unread = unread{}
	return c
}

// listUnchecked lists what Check returns.
func (ms *members) listUnchecked() {
	u := &ms.unread
	u.listed = true
	if n := ms.all.len4(ruleset.Outside); slices.Contains(u.assumed, ruleset.Set{Kind: ruleset.Outside, Family: inet.IPv4}) {
		u.left4 = make([][4]byte, 0, n)
	}
	for m, st := range ms.all.each() {
		switch {
		case !st.have || m.other != 0 || !slices.Contains(u.assumed, m.set):
		case m.isV4():
			u.left4 = append(u.left4, [4]byte(m.addr[:4]))
		default:
			u.left = append(u.left, m)
		}
	}
}

// countHeld returns how many elements the kernel has of some sets.
func (ms *members) countHeld(sets []ruleset.Set) map[ruleset.Set]int {
	counts := map[ruleset.Set]int{}
	for _, set := range sets {
		counts[set] = 0
	}
	for m, st := range ms.all.each() {
		if _, is := counts[m.set]; is && st.have {
			counts[m.set]++
		}
	}
	return counts
}
