// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"bytes"
	"cmp"
	"net/netip"
	"slices"

	"fairlead/nat/ruleset"
)

// members holds the elements of shared sets, wanted or in the kernel.
type members struct {
	all memberTable
	// others are the elements that are more than an address, by number and back.
	others map[uint32]ruleset.Element
	number map[ruleset.Element]uint32
	last   uint32 // number in others
	// twins are the addresses that another program put into a set with a comment, and the
	// numbers of these elements. They are deleted before ours can be added.
	twins map[member]uint32

	// before and after hold the members that may not be settled, by when they are
	// written: hairpin, for example, before the frontends, and cluster-ips when all
	// frontends are there.
	before, after memberQueue
	pushed        uint32 // number of the last entry in a queue
	// refused are set aside, in order, and aside has the same ones.
	refused []member
	aside   map[member]struct{}

	unread unread
}

// unread are sets whose elements were not read, because the backends in the kernel tell which they
// should be; see ruleset.Snapshot.Unread.
type unread struct {
	// counts is how many elements each has in the kernel, until Assume.
	counts map[ruleset.Set]int
	// assumed are the sets of which Assume took for granted what is in them.
	assumed []ruleset.Set
	// left4 and left are the elements of these that are still to be compared, once listed says so:
	// IPv4 addresses, and others. Both are as long as the cluster has endpoints, and live for a few
	// seconds.
	left4  [][4]byte
	left   []member
	listed bool
	buffer []ruleset.Element
}

// has reports whether it is not known what is in a set.
func (u *unread) has(set ruleset.Set) bool {
	if len(u.counts) == 0 {
		return false
	}
	_, is := u.counts[set]
	return is
}

// added makes Check return an element that was added since it listed those to compare. Where another
// program has the same element with a comment, the kernel takes ours and keeps that one.
func (u *unread) added(m *member, have bool) {
	switch {
	case !have || !u.listed || m.other != 0 || !slices.Contains(u.assumed, m.set):
	case m.isV4():
		u.left4 = append(u.left4, [4]byte(m.addr[:4]))
	default:
		u.left = append(u.left, *m)
	}
}

func newMembers() members {
	return members{all: newMemberTable(), others: map[uint32]ruleset.Element{}, number: map[ruleset.Element]uint32{}, twins: map[member]uint32{}, aside: map[member]struct{}{}}
}

// addressElement returns the element that is one address of a set.
func addressElement(m *member) ruleset.Element {
	e := ruleset.Element{Set: m.set}
	if ip := m.address(); m.set.Kind == ruleset.ClusterIPs {
		e.Key.IP = ip
	} else {
		e.Client = netip.PrefixFrom(ip, ip.BitLen())
	}
	return e
}

// twinOf returns the member that is the address of an element, if it has one, and whether
// that is all that the element says.
func twinOf(e *ruleset.Element) (twin member, hasAddr, same bool) {
	ip := e.Client.Addr()
	if e.Set.Kind == ruleset.ClusterIPs {
		ip = e.Key.IP
	}
	if !ip.IsValid() {
		return member{}, false, false
	}
	twin = addressMember(e.Set.Kind, ip)
	return twin, true, addressElement(&twin) == *e
}

// of returns the member that an element is.
func (ms *members) of(e *ruleset.Element) member {
	twin, hasAddr, same := twinOf(e)
	if same {
		return twin
	}
	n, known := ms.number[*e]
	if !known {
		ms.last++
		n = ms.last
		ms.others[n], ms.number[*e] = *e, n
		if hasAddr {
			ms.twins[twin] = n
		}
	}
	return member{set: e.Set, other: n}
}

// hasTwin reports whether another program put the address into the set with a comment.
func (ms *members) hasTwin(m *member) bool {
	_, has := ms.twins[*m]
	return has
}

// element is the opposite of of.
func (ms *members) element(m *member) ruleset.Element {
	if m.other != 0 {
		return ms.others[m.other]
	}
	return addressElement(m)
}

// put stores the state of a member, and forgets one of which nothing is true.
func (ms *members) put(m *member, st memberState) {
	ms.all.put(m, st)
	if st == (memberState{}) && m.other != 0 {
		e := ms.others[m.other]
		if twin, _, _ := twinOf(&e); ms.twins[twin] == m.other {
			delete(ms.twins, twin)
		}
		delete(ms.number, e)
		delete(ms.others, m.other)
	}
}

// count adds n to the number of frontends that want a member.
func (ms *members) count(m member, n int32) {
	st := ms.all.get(&m)
	st.want += n
	if !st.isSettled() {
		ms.push(&m, &st)
	}
	ms.put(&m, st)
}

// push puts a member into its queue, unless it is there, or it is not known yet whether the kernel
// has it.
func (ms *members) push(m *member, st *memberState) {
	if st.queued != 0 || ms.unread.has(m.set) {
		return
	}
	ms.pushed++
	st.queued = ms.pushed
	q := &ms.before
	if m.set.Kind == ruleset.ClusterIPs {
		q = &ms.after
	}
	if m.isV4() && !ms.hasTwin(m) {
		q.v4 = append(q.v4, entry4{[4]byte(m.addr[:4]), m.set.Kind, st.queued})
	} else {
		q.rest = append(q.rest, memberEntry{*m, st.queued})
	}
}

// refuse takes a member out of its queue until retry.
func (ms *members) refuse(e *ruleset.Element) {
	m := ms.of(e)
	st := ms.all.get(&m)
	st.queued = 0
	ms.put(&m, st)
	if ms.isRefused(&m) {
		return
	}
	ms.refused = append(ms.refused, m)
	ms.aside[m] = struct{}{}
}

// isRefused reports whether a member was set aside. New backends that need it wait.
func (ms *members) isRefused(m *member) bool {
	_, is := ms.aside[*m]
	return is
}

// retry queues the refused members again.
func (ms *members) retry() {
	for i := range ms.refused {
		m := &ms.refused[i]
		if st := ms.all.get(m); !st.isSettled() {
			ms.push(m, &st)
			ms.put(m, st)
		}
	}
	ms.refused = nil
	clear(ms.aside)
}

// acked records that the kernel added or deleted an element.
func (ms *members) acked(e *ruleset.Element, have bool) {
	m := ms.of(e)
	st := ms.all.get(&m)
	st.have = have
	ms.put(&m, st)
	ms.unread.added(&m, have)
}

// lose records that the kernel lost all members.
func (ms *members) lose() {
	ms.adopt(nil)
	ms.touchAll()
}

// find records that an element was read, until adopt.
func (ms *members) find(e *ruleset.Element) {
	m := ms.of(e)
	st := ms.all.get(&m)
	st.found = true
	ms.all.put(&m, st)
}

// adopt makes the members that find recorded those that the kernel has. It calls note for
// each that appeared or disappeared, unless that is nil; one of a set that was not read before did
// neither. The queues are empty until touchAll.
func (ms *members) adopt(note func(member)) {
	before := ms.unread
	ms.before, ms.after, ms.pushed, ms.refused = memberQueue{}, memberQueue{}, 0, nil
	clear(ms.aside)
	ms.unread = unread{}
	for m, st := range ms.all.each() {
		was := st
		if st.found != st.have && note != nil && !before.has(m.set) {
			note(m)
		}
		if st.have, st.found, st.queued = st.found, false, 0; st != was {
			ms.put(&m, st)
		}
	}
}

// touchAll queues all members that are not settled, to be sorted.
func (ms *members) touchAll() {
	ms.before.unsorted, ms.after.unsorted = true, true
	for m, st := range ms.all.each() {
		if !st.isSettled() {
			ms.push(&m, &st)
			ms.put(&m, st)
		}
	}
}

// pending calls f for the members of a queue that are not settled, until it returns
// false. After touchAll they come sorted, so that members of one place are neighbours.
func (ms *members) pending(q *memberQueue, f func(m member, want bool) bool) {
	if q.unsorted {
		ms.settle(q, false)
		slices.SortFunc(q.v4, func(a, b entry4) int {
			return cmp.Or(cmp.Compare(a.kind, b.kind), bytes.Compare(a.addr[:], b.addr[:]))
		})
		slices.SortFunc(q.rest, func(a, b memberEntry) int { return ms.compare(&a.member, &b.member) })
		q.unsorted = false
	}
	if pendingOf(ms, q.v4, f) {
		pendingOf(ms, q.rest, f)
	}
}

// pendingOf reports whether it reached the end.
func pendingOf[E queued](ms *members, order []E, f func(m member, want bool) bool) bool {
	for i := range order {
		m, number := order[i].of()
		if st := ms.all.get(&m); st.queued == number && !st.isSettled() && !f(m, st.want > 0) {
			return false
		}
	}
	return true
}

// settle removes the members from a queue that the kernel holds as wanted: those at its
// head, or all.
func (ms *members) settle(q *memberQueue, head bool) {
	q.v4, q.rest = settleOf(ms, q.v4, head), settleOf(ms, q.rest, head)
	if ms.before.isEmpty() && ms.after.isEmpty() {
		ms.pushed = 0
	}
}

func settleOf[E queued](ms *members, order []E, head bool) []E {
	left := order[:0]
	for i := range order {
		m, number := order[i].of()
		st := ms.all.get(&m)
		switch {
		case st.queued != number:
		case st.isSettled():
			st.queued = 0
			ms.put(&m, st)
		case head:
			return order[i:]
		default:
			left = append(left, order[i])
		}
	}
	if len(left) == 0 {
		return nil
	}
	return left
}

// compare orders members by set and place, then by what they say.
func (ms *members) compare(a, b *member) int {
	if a.other != 0 || b.other != 0 {
		return compareElements(ms.element(a), ms.element(b))
	}
	return cmp.Or(ruleset.CompareSets(a.set, b.set), bytes.Compare(a.addr[:], b.addr[:]))
}

func compareElements(a, b ruleset.Element) int {
	return cmp.Or(ruleset.CompareSets(a.Set, b.Set), a.Key.Compare(b.Key), a.Client.Compare(b.Client), a.Data.Compare(b.Data), cmp.Compare(a.Comment, b.Comment))
}

// present returns the elements that the kernel has, sorted.
func (ms *members) present() []ruleset.Element {
	var out []ruleset.Element
	for m, st := range ms.all.each() {
		if st.have {
			out = append(out, ms.element(&m))
		}
	}
	slices.SortFunc(out, compareElements)
	return out
}
