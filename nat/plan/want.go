// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"

	"fairlead/internal/inet"
	"fairlead/nat"
	"fairlead/nat/ruleset"
)

// Configure replaces the settings.
func (s *State) Configure(set nat.Settings) {
	s.program = true
	s.idle = true // the program may do without some chains
	if set.BackendCounters != s.settings.BackendCounters {
		for _, key := range slices.SortedFunc(maps.Keys(s.want), inet.Addr.Compare) {
			s.touchLast(key)
		}
	}
	before := s.cluster
	s.settings = set
	s.cluster = append(inet.Normalize(set.Cluster, inet.IPv4), inet.Normalize(set.Cluster, inet.IPv6)...)
	s.moveBackends(before)
}

// moveBackends counts the backends that are no longer in the ranges of the cluster, or are
// now. Without --cluster-cidr each node that joins or leaves changes these ranges, so it
// counts no other backend.
func (s *State) moveBackends(before []netip.Prefix) {
	changed := inOne(before, s.cluster)
	if len(changed) == 0 {
		return
	}
	for _, f := range s.want {
		for _, p := range changed {
			// Backends are sorted.
			i, _ := slices.BinarySearchFunc(f.Backends, p.Addr(), func(b nat.Backend, ip netip.Addr) int { return b.Addr().Compare(ip) })
			for ; i < len(f.Backends) && p.Contains(f.Backends[i].Addr()); i++ {
				s.moveBackend(f.Backends[i].Addr(), before)
			}
		}
	}
}

// moveBackend does so for one backend of a frontend.
func (s *State) moveBackend(ip netip.Addr, before []netip.Prefix) {
	switch was, is := contains(before, ip), s.inCluster(ip); {
	case was && !is:
		s.members.count(addressMember(ruleset.Outside, ip), +1)
	case is && !was:
		s.members.count(addressMember(ruleset.Outside, ip), -1)
	}
}

// Set makes f the wanted frontend at key. Setting an equal frontend costs nothing.
func (s *State) Set(key inet.Addr, f nat.Frontend) {
	f = f.Canonical(key)
	old, exists := s.want[key]
	if f.Share = old.Share; exists && old.Equal(&f) {
		return
	}
	f.Share = s.takeShare(key, &f)
	s.releaseShare(&old)
	s.exchangeMembers(key, &old, &f)
	s.countSticky(&old, -1)
	s.countSticky(&f, +1)
	s.countSets(key, &f, +1)
	s.countSets(key, &old, -1)
	s.want[key] = f
	s.touch(key)
}

// Delete makes key unwanted.
func (s *State) Delete(key inet.Addr) {
	old, exists := s.want[key]
	if !exists {
		return
	}
	s.countMembers(key, &old, -1)
	s.countSticky(&old, -1)
	s.releaseShare(&old)
	s.countSets(key, &old, -1)
	delete(s.want, key)
	s.touch(key)
}

// countMembers adds n to the number of frontends that want each element of the
// shared sets on f's account.
func (s *State) countMembers(key inet.Addr, f *nat.Frontend, n int32) {
	if f.Exclusive && !key.IsNodePort() {
		s.members.count(addressMember(ruleset.ClusterIPs, key.IP), n)
	}
	for i := range f.Backends {
		s.countBackend(&f.Backends[i], n)
	}
}

func (s *State) countBackend(b *nat.Backend, n int32) {
	if b.OnNode {
		s.members.count(addressMember(ruleset.Hairpin, b.Addr()), n)
	}
	if !s.inCluster(b.Addr()) {
		s.members.count(addressMember(ruleset.Outside, b.Addr()), n)
	}
}

// exchangeMembers counts what f needs in place of old, of which the backends are sorted. It
// costs what differs: most changes leave most backends in place.
func (s *State) exchangeMembers(key inet.Addr, old, f *nat.Frontend) {
	a, b := old.Backends, f.Backends
	var gone []*nat.Backend
	for len(a)+len(b) > 0 {
		order := 0
		switch {
		case len(a) == 0:
			order = +1
		case len(b) == 0:
			order = -1
		case a[0] != b[0]:
			order = cmp.Or(a[0].Compare(b[0].AddrPort), +1) // or the same on another node
		}
		if order > 0 {
			s.countBackend(&b[0], +1)
			b = b[1:]
			continue
		}
		if order < 0 {
			gone = append(gone, &a[0])
		} else {
			b = b[1:]
		}
		a = a[1:]
	}
	for _, g := range gone { // last, so that what stays is not queued
		s.countBackend(g, -1)
	}
	s.countMembers(key, &nat.Frontend{Exclusive: f.Exclusive}, +1)
	s.countMembers(key, &nat.Frontend{Exclusive: old.Exclusive}, -1)
}

// countMember is the same for one element.
func (s *State) countMember(e ruleset.Element, n int32) { s.members.count(s.members.of(&e), n) }

// inCluster reports whether the address lies where pods are.
func (s *State) inCluster(ip netip.Addr) bool { return contains(s.cluster, ip) }

func hostElement(k ruleset.Kind, ip netip.Addr) ruleset.Element {
	return ruleset.Element{Set: ruleset.Set{Kind: k, Family: inet.FamilyOf(ip)}, Client: netip.PrefixFrom(ip, ip.BitLen())}
}

func hairpinElement(ip netip.Addr) ruleset.Element { return hostElement(ruleset.Hairpin, ip) }
