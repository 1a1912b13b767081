// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"net/netip"

	"fairlead/internal/inet"
	"fairlead/nat"
	"fairlead/nat/ruleset"
)

// holding describes the known contents of the table in the kernel.
type holding struct {
	exists    bool
	flags     uint32 // of the table, see ruleset.Snapshot
	sets      map[ruleset.Set]struct{}
	chains    map[string]string // name -> fingerprint of hook and rules
	frontends map[inet.Addr]*installed
	ranges    map[ruleset.Set][]netip.Prefix
	verdicts  map[string]int // verdict -> elements of frontends that carry it
	slots     slotCounts

	// Adopt found these in need of repair. The declaration of oddSets differs, and
	// oddChains are attached to another hook. Both are replaced, after the rules of the
	// chains that use them are deleted.
	oddSets   map[ruleset.Set][]string
	oddChains map[string][]string
	spoilt    map[ruleset.Set]bool // sets of ranges with something that is no range
	junk      []ruleset.Op         // deletions of other elements that no frontend has
	straySets []string
	objects   []ruleset.Object // of other programs
}

// installed describes a frontend in the kernel.
type installed struct {
	shape    ruleset.Shape // zero while there is no verdict
	verdict  string
	slots    []slot
	locals   []slot
	sources  []netip.Prefix
	remember string // verdict in the sticky map
	owner    string // comment on its elements
	// exact are the backends that slots hold, in any order, each once and with the right comment,
	// if a step of ours made them so; nil if that is not known, or they are few. It is the wanted list of
	// that time, which is in memory anyway. It serves to find what changed, see planner.exchangeSlots.
	exact *[]nat.Backend

	// These carry another comment and have to be replaced.
	oldVerdict, oldRemember bool
	// counted says that the slots have counters. The first switched ones, locals
	// after slots, are already in the opposite state.
	counted  bool
	switched int32

	oldSources []netip.Prefix // with another comment, as oldVerdict
	junk       []ruleset.Op   // deletions of elements that no batch of ours writes
}

// slot is a backend in its place. The zero value is an empty slot. A stale one has
// another comment or counter than it should, and is replaced in place.
//
// The kernel has as many slots as the cluster has endpoints, or more. So a slot takes 20
// bytes, where a netip.AddrPort takes 32, and has no pointer to follow.
type slot struct {
	ip    inet.Bytes
	stale bool
	port  uint16
}

func slotOf(b netip.AddrPort) slot { return slot{ip: inet.BytesOf(b.Addr()), port: b.Port()} }

func (s slot) isEmpty() bool { return !s.ip.IsValid() }

func (s slot) addr() netip.Addr { return s.ip.Addr() }

func (s slot) backend() netip.AddrPort { return netip.AddrPortFrom(s.addr(), s.port) }

func newHolding() holding {
	return holding{
		sets: map[ruleset.Set]struct{}{}, chains: map[string]string{},
		frontends: map[inet.Addr]*installed{},
		ranges:    map[ruleset.Set][]netip.Prefix{}, verdicts: map[string]int{},
		slots: slotCounts{}, oddSets: map[ruleset.Set][]string{}, oddChains: map[string][]string{}, spoilt: map[ruleset.Set]bool{},
	}
}

// setRanges records the content of a set that settings fill. An empty set has no entry,
// whether the kernel listed it or nobody ever filled it.
func (h *holding) setRanges(set ruleset.Set, ranges []netip.Prefix) {
	if len(ranges) == 0 {
		delete(h.ranges, set)
		return
	}
	h.ranges[set] = ranges
}

// hasSticky reports whether the kernel has frontends that keep clients.
func (h *holding) hasSticky() bool {
	for verdict := range h.verdicts {
		if _, ok := ruleset.ParseAffinityChain(verdict); ok {
			return true
		}
	}
	return false
}

// hold counts the frontends that carry a verdict.
func (h *holding) hold(verdict string) {
	if verdict != "" {
		h.verdicts[verdict]++
	}
}

// release is the opposite of hold. It reports whether no frontend is left.
func (h *holding) release(verdict string) bool {
	if verdict == "" {
		return false
	}
	h.verdicts[verdict]--
	if h.verdicts[verdict] > 0 {
		return false
	}
	delete(h.verdicts, verdict)
	return true
}

// isForeign reports whether a table has flags that cannot be changed in place.
func isForeign(flags uint32) bool { return flags&^ruleset.TableDormant != 0 }
