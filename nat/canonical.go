// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nat

import (
	"cmp"
	"net/netip"
	"slices"

	"fairlead/internal/inet"
)

// canonical returns f with the fields that its policy uses, sorted, unique and
// of the key's family, so that equal frontends compare equal.
func (f Frontend) canonical(key inet.Addr) Frontend {
	fam := inet.FamilyOf(key.IP)
	f.Owner = comment(f.Owner)
	f.Backends = slices.SortedFunc(slices.Values(f.Backends), Backend.compare)
	f.Backends = slices.CompactFunc(f.Backends, func(a, b Backend) bool { return a.AddrPort == b.AddrPort })
	f.Backends = slices.DeleteFunc(f.Backends, func(b Backend) bool { return inet.FamilyOf(b.Addr()) != fam })
	f.Backends = f.Backends[:min(len(f.Backends), 1<<maxClass)]

	f.LocalBackends = slices.SortedFunc(slices.Values(f.LocalBackends), netip.AddrPort.Compare)
	f.LocalBackends = slices.Compact(f.LocalBackends)
	f.LocalBackends = slices.DeleteFunc(f.LocalBackends, func(b netip.AddrPort) bool { return inet.FamilyOf(b.Addr()) != fam })
	f.LocalBackends = f.LocalBackends[:min(len(f.LocalBackends), 1<<maxClass)]

	if len(f.Backends) == 0 && f.Policy.picks() {
		f.Policy = Reject
	}
	if !f.Policy.picks() {
		f.Backends, f.Affinity = nil, 0
	}
	if f.Policy != Local {
		f.LocalBackends = nil
	}
	if key.IsNodePort() {
		f.Restricted, f.Exclusive = false, false
	}
	if f.Restricted {
		f.Sources = inet.Normalize(f.Sources, fam)
	} else {
		f.Sources = nil
	}
	return f
}

// compare puts of two equal addresses the one on this node first.
func (b Backend) compare(c Backend) int {
	if n := b.AddrPort.Compare(c.AddrPort); n != 0 || b.OnNode == c.OnNode {
		return n
	}
	if b.OnNode {
		return -1
	}
	return 1
}

// equal compares canonical frontends.
func (f *Frontend) equal(g *Frontend) bool {
	return f.Policy == g.Policy && f.Affinity == g.Affinity && f.Restricted == g.Restricted &&
		f.Exclusive == g.Exclusive && f.Owner == g.Owner &&
		slices.Equal(f.Backends, g.Backends) &&
		slices.Equal(f.LocalBackends, g.LocalBackends) &&
		slices.Equal(f.Sources, g.Sources)
}

// shape returns the shape of f, given the one that the kernel has for it.
func (f *Frontend) shape(key inet.Addr, have shape) shape {
	s := shape{
		policy: f.Policy, fam: inet.FamilyOf(key.IP), node: key.IsNodePort(),
		guarded: f.Restricted, sticky: f.Affinity > 0,
	}
	if !f.Policy.picks() {
		return s
	}
	class, locals := int8(noLocals), int8(noLocals)
	if have.policy.picks() {
		class = have.class
		if have.policy == Local {
			locals = have.locals
		}
	}
	s.class = keepClass(class, len(f.Backends))
	if f.Policy == Local {
		s.locals = noLocals
		if n := len(f.LocalBackends); n > 0 {
			s.locals = keepClass(locals, n)
		}
	}
	return s
}

// arrange gives each wanted backend a slot: those that have one below the
// wanted number keep it, the others fill the holes in the order of want. So one
// backend less moves the last slot into its hole, and one more is appended.
func arrange(have, want []netip.AddrPort) []netip.AddrPort {
	out := make([]netip.AddrPort, len(want))
	unplaced := make(map[netip.AddrPort]struct{}, len(want))
	for _, b := range want {
		unplaced[b] = struct{}{}
	}
	for i, b := range have[:min(len(have), len(want))] {
		if _, ok := unplaced[b]; ok {
			out[i] = b
			delete(unplaced, b)
		}
	}
	fill := slices.SortedFunc(func(yield func(netip.AddrPort) bool) {
		for b := range unplaced {
			if !yield(b) {
				return
			}
		}
	}, func(a, b netip.AddrPort) int { return cmp.Or(a.Compare(b)) })
	for i := range out {
		if out[i] == hole {
			out[i], fill = fill[0], fill[1:]
		}
	}
	return out
}
