// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
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
	cluster := append(inet.Normalize(set.Cluster, inet.IPv4), inet.Normalize(set.Cluster, inet.IPv6)...)
	if slices.Equal(cluster, s.cluster) {
		s.settings = set
		return
	}
	// The backends outside of the ranges may have changed.
	s.recount(-1)
	s.settings, s.cluster = set, cluster
	s.recount(+1)
}

func (s *State) recount(n int32) {
	for key, f := range s.want {
		s.countMembers(key, &f, n)
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
	s.countMembers(key, &f, +1) // first, so that what stays is not queued
	s.countMembers(key, &old, -1)
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
		b := &f.Backends[i]
		if b.OnNode {
			s.members.count(addressMember(ruleset.Hairpin, b.Addr()), n)
		}
		if !s.inCluster(b.Addr()) {
			s.members.count(addressMember(ruleset.Outside, b.Addr()), n)
		}
	}
}

// countMember is the same for one element.
func (s *State) countMember(e ruleset.Element, n int32) { s.members.count(s.members.of(&e), n) }

// inCluster reports whether the address lies where pods are.
func (s *State) inCluster(ip netip.Addr) bool {
	i, found := slices.BinarySearchFunc(s.cluster, ip, func(p netip.Prefix, ip netip.Addr) int { return p.Addr().Compare(ip) })
	return found || i > 0 && s.cluster[i-1].Contains(ip)
}

func hostElement(k ruleset.Kind, ip netip.Addr) ruleset.Element {
	return ruleset.Element{Set: ruleset.Set{Kind: k, Family: inet.FamilyOf(ip)}, Client: netip.PrefixFrom(ip, ip.BitLen())}
}

func hairpinElement(ip netip.Addr) ruleset.Element { return hostElement(ruleset.Hairpin, ip) }
