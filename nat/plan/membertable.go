// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"iter"
	"net/netip"

	"fairlead/internal/inet"
	"fairlead/nat/ruleset"
)

// member identifies an element of a shared set, see ruleset.Element.IsMember. Most of
// them are one address, and there may be as many as endpoints, so the type is small and
// has no pointers.
type member struct {
	addr  [16]byte
	set   ruleset.Set
	other uint32 // in members.others, for an element that is more than an address; else 0
}

// addressMember returns the member that is one address of a set.
func addressMember(k ruleset.Kind, ip netip.Addr) member {
	m := member{set: ruleset.Set{Kind: k, Family: inet.FamilyOf(ip)}}
	if ip.Is4() {
		a := ip.As4()
		copy(m.addr[:], a[:])
	} else {
		m.addr = ip.As16()
	}
	return m
}

// address is the opposite of addressMember.
func (m *member) address() netip.Addr {
	if m.set.Family == inet.IPv4 {
		return netip.AddrFrom4([4]byte(m.addr[:4]))
	}
	return netip.AddrFrom16(m.addr)
}

// memberState says what is true of a member.
type memberState struct {
	want   int32  // how many frontends want it
	queued uint32 // the number of its entry in a queue, below 1<<30; 0 for none
	have   bool   // the kernel has it
	found  bool   // during adopt: the kernel was found to have it
}

func (st *memberState) isSettled() bool { return st.have == (st.want > 0) }

// packedState is a memberState in eight bytes.
type packedState uint64

func (st *memberState) pack() packedState {
	p := packedState(uint32(st.want))<<32 | packedState(st.queued)<<2
	if st.have {
		p |= 1
	}
	if st.found {
		p |= 2
	}
	return p
}

func (p packedState) state() memberState {
	return memberState{want: int32(p >> 32), queued: uint32(p) >> 2, have: p&1 != 0, found: p&2 != 0}
}

// memberTable holds the states of members. There are as many as endpoints in a cluster
// whose pods have addresses outside of --cluster-cidr, and most are IPv4 addresses, which
// take 12 bytes in their own maps. Others take 32.
type memberTable struct {
	v4   map[ruleset.Kind]map[[4]byte]packedState
	rest map[member]packedState
}

func newMemberTable() memberTable {
	return memberTable{v4: map[ruleset.Kind]map[[4]byte]packedState{}, rest: map[member]packedState{}}
}

// isV4 reports whether a member is an IPv4 address and no more.
func (m *member) isV4() bool { return m.other == 0 && m.set.Family == inet.IPv4 }

func (t *memberTable) get(m *member) memberState {
	if m.isV4() {
		return t.v4[m.set.Kind][[4]byte(m.addr[:4])].state()
	}
	return t.rest[*m].state()
}

// put stores a state. One of which nothing is true takes no room.
func (t *memberTable) put(m *member, st memberState) {
	p := st.pack()
	switch {
	case m.isV4():
		of := t.v4[m.set.Kind]
		if of == nil {
			of = map[[4]byte]packedState{}
			t.v4[m.set.Kind] = of
		}
		set(of, [4]byte(m.addr[:4]), p)
	default:
		set(t.rest, *m, p)
	}
}

func set[K comparable](in map[K]packedState, key K, p packedState) {
	if p == 0 {
		delete(in, key)
	} else {
		in[key] = p
	}
}

// len returns the number of members.
func (t *memberTable) len() int {
	n := len(t.rest)
	for _, of := range t.v4 {
		n += len(of)
	}
	return n
}

// len4 returns the number of members of a set that are IPv4 addresses.
func (t *memberTable) len4(k ruleset.Kind) int { return len(t.v4[k]) }

// each returns all members. The loop may store their states.
func (t *memberTable) each() iter.Seq2[member, memberState] {
	return func(yield func(member, memberState) bool) {
		for kind, of := range t.v4 {
			for addr, p := range of {
				if !yield(memberOf4(kind, addr), p.state()) {
					return
				}
			}
		}
		for m, p := range t.rest {
			if !yield(m, p.state()) {
				return
			}
		}
	}
}

func memberOf4(k ruleset.Kind, addr [4]byte) member {
	m := member{set: ruleset.Set{Kind: k, Family: inet.IPv4}}
	copy(m.addr[:], addr[:])
	return m
}

// memberQueue holds members in the order in which they came: those in v4 are IPv4 addresses
// without a twin. No member of one list depends on one of the other.
type memberQueue struct {
	v4       []entry4
	rest     []memberEntry
	unsorted bool
}

func (q *memberQueue) isEmpty() bool { return len(q.v4)+len(q.rest) == 0 }

// memberEntry counts only while the member's state has its number.
type memberEntry struct {
	member
	number uint32
}

// entry4 is a memberEntry of an IPv4 address.
type entry4 struct {
	addr   [4]byte
	kind   ruleset.Kind
	number uint32
}

// queued is an entry of either list.
type queued interface {
	of() (m member, number uint32)
}

func (e memberEntry) of() (member, uint32) { return e.member, e.number }

func (e entry4) of() (member, uint32) { return memberOf4(e.kind, e.addr), e.number }
