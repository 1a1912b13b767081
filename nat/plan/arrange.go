// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"hash/maphash"
	"math/bits"
	"net/netip"
	"slices"

	"fairlead/internal/inet"
	"fairlead/nat"
	"fairlead/nat/ruleset"
)

// addrs are the addresses of backends: one of two lists.
type addrs struct {
	backends []nat.Backend
	locals   []netip.AddrPort
}

func (a *addrs) len() int { return len(a.backends) + len(a.locals) }

func (a *addrs) at(i int) netip.AddrPort {
	if len(a.backends) > 0 {
		return a.backends[i].AddrPort()
	}
	return a.locals[i]
}

// has reports whether b is in the list, which is sorted.
func (a *addrs) has(b netip.AddrPort) bool {
	_, found := slices.BinarySearchFunc(a.backends, b, func(have nat.Backend, b netip.AddrPort) int { return have.AddrPort().Compare(b) })
	if !found {
		_, found = slices.BinarySearchFunc(a.locals, b, netip.AddrPort.Compare)
	}
	return found
}

// arrangement says what belongs into each slot.
type arrangement struct {
	inOrder *addrs
	slots   []slot // where that is nil
}

func (a *arrangement) at(i int) slot {
	if a.inOrder != nil {
		return slotOf(a.inOrder.at(i))
	}
	return a.slots[i]
}

// arrange gives each wanted backend a slot: those that have one below the wanted
// number keep it, the others fill the empty slots in the order of want, which has each
// backend once. A removed backend therefore moves the last slot into its place, and a new
// one is appended. Where the slots are filled in order, for one batch after the other, that
// costs a comparison.
func arrange(have []slot, want *addrs) arrangement {
	have = have[:min(len(have), want.len())]
	if inOrder(have, want) {
		return arrangement{inOrder: want}
	}
	list := make([]netip.AddrPort, want.len())
	for i := range list {
		list[i] = want.at(i)
	}
	return arrangement{slots: rearrange(have, list)}
}

// arrangements keeps those of large frontends that take several steps. The slots that a step
// fills are those of its arrangement, so the arrangement stays the same until the frontend is
// wanted with other backends.
type arrangements map[listed]kept

// listed is one of the lists of a frontend.
type listed struct {
	frontend inet.Addr
	set      ruleset.Set
}

type kept struct {
	want  addrs // that it was made for
	slots []slot
}

// mostArranged bounds how many are kept: a list of 65,535 slots takes 1.3 MB.
const mostArranged = 8

// arrange is arrange for a list of a frontend, with the arrangement of an earlier step if
// there is one.
func (a arrangements) arrange(of listed, have []slot, want *addrs) arrangement {
	if k, ok := a[of]; ok && isSame(k.want.backends, want.backends) && isSame(k.want.locals, want.locals) {
		return arrangement{slots: k.slots}
	}
	to := arrange(have, want)
	if to.inOrder != nil || want.len() <= mostAtOnce {
		return to
	}
	if len(a) >= mostArranged {
		clear(a)
	}
	a[of] = kept{*want, to.slots}
	return to
}

// remove forgets what is kept of a frontend.
func (a arrangements) remove(key inet.Addr) {
	if len(a) > 0 {
		delete(a, listed{key, ruleset.BackendsOf(key)})
		delete(a, listed{key, ruleset.LocalsOf(key)})
	}
}

func rearrange(have []slot, want []netip.AddrPort) []slot {
	out := make([]slot, len(want))
	index := newIndex(want)
	placed := make([]bool, len(want))
	for i, s := range have {
		if s.isEmpty() {
			continue
		}
		if j := index.find(s.backend()); j >= 0 && !placed[j] {
			out[i], placed[j] = slotOf(want[j]), true
		}
	}
	i := 0
	for j, b := range want {
		if placed[j] {
			continue
		}
		for !out[i].isEmpty() {
			i++
		}
		out[i] = slotOf(b)
	}
	return out
}

// inOrder reports whether each slot is empty or has the backend that stands in its place.
func inOrder(have []slot, want *addrs) bool {
	for i, s := range have {
		if !s.isEmpty() && s.backend() != want.at(i) {
			return false
		}
	}
	return true
}

// index finds backends in a list. It takes a fraction of the time of a map, which counts
// for a Service of 65,535 endpoints.
type index struct {
	list  []netip.AddrPort
	table []int32 // place in list, -1 for none; its length is a power of two
	// seed is new for each index, so that nobody can choose addresses that collide.
	seed maphash.Seed
}

func newIndex(list []netip.AddrPort) *index {
	x := &index{list: list, table: make([]int32, 1<<bits.Len(uint(2*len(list)+1))), seed: maphash.MakeSeed()}
	for i := range x.table {
		x.table[i] = -1
	}
	for i, b := range list {
		if at, found := x.probe(b); !found {
			x.table[at] = int32(i)
		}
	}
	return x
}

// probe returns the place of a backend in the table, or the place where it belongs.
func (x *index) probe(b netip.AddrPort) (at uint64, found bool) {
	mask := uint64(len(x.table) - 1)
	for at = maphash.Comparable(x.seed, b) & mask; ; at = (at + 1) & mask {
		switch i := x.table[at]; {
		case i < 0:
			return at, false
		case x.list[i] == b:
			return at, true
		}
	}
}

// find returns the place of a backend in the list, or -1.
func (x *index) find(b netip.AddrPort) int {
	at, _ := x.probe(b)
	return int(x.table[at])
}
