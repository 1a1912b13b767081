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
	switch was, is := contains(before, ip), contains(s.cluster, ip); {
	case was && !is:
		s.members.count(addressMember(ruleset.Outside, ip), +1)
	case is && !was:
		s.members.count(addressMember(ruleset.Outside, ip), -1)
	}
}

// Expect makes room for that many wanted frontends, before the first of them is set: a map that grows
// to the size of a cluster takes as much memory again on the way.
func (s *State) Expect(frontends int) {
	if len(s.want) == 0 && frontends > mostIdle {
		s.want = make(map[inet.Addr]nat.Frontend, frontends)
		s.dirty.expect(frontends)
	}
}

// Set makes f the wanted frontend at key. Setting an equal frontend costs nothing.
func (s *State) Set(key inet.Addr, f nat.Frontend) {
	f = f.Canonical(key)
	old, exists := s.want[key]
	if f.Share = old.Share; exists && old.Equal(&f) {
		s.abandon(key)
		return
	}
	f.Share = s.takeShare(key, &f)
	s.releaseShare(&old)
	gone := s.exchange(key, &old, &f)
	s.leave(gone, s.cluster) // last, so that what stays is not queued
	s.countExclusive(key, &f, +1)
	s.countExclusive(key, &old, -1)
	s.countSticky(&old, -1)
	s.countSticky(&f, +1)
	s.countSets(key, &f, +1)
	s.countSets(key, &old, -1)
	s.countSlots(key, &old, &f)
	s.want[key] = f
	s.touch(key)
}

// Delete makes key unwanted.
func (s *State) Delete(key inet.Addr) {
	old, exists := s.want[key]
	s.abandon(key)
	if !exists {
		return
	}
	s.leaveAll(old.Backends)
	s.countExclusive(key, &old, -1)
	s.countSticky(&old, -1)
	s.releaseShare(&old)
	s.countSets(key, &old, -1)
	s.countSlots(key, &old, &nat.Frontend{})
	delete(s.want, key)
	s.touch(key)
}

func hostElement(k ruleset.Kind, ip netip.Addr) ruleset.Element {
	return ruleset.Element{Set: ruleset.Set{Kind: k, Family: inet.FamilyOf(ip)}, Client: netip.PrefixFrom(ip, ip.BitLen())}
}

func hairpinElement(ip netip.Addr) ruleset.Element { return hostElement(ruleset.Hairpin, ip) }
