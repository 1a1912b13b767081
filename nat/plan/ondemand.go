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

// countSets adds n to the number of uses of each set that f needs on demand: sets of
// source ranges, and affinity maps of its Service. The first use makes a set and its
// rules, and after the last both can go.
func (s *State) countSets(key inet.Addr, f *nat.Frontend, n int) {
	eachSetOnDemand(key, f, func(set ruleset.Set) { s.countSet(set, n) })
}

func eachSetOnDemand(key inet.Addr, f *nat.Frontend, each func(ruleset.Set)) {
	for _, src := range f.Sources {
		each(ruleset.SourcesOf(src))
	}
	if c, ok := ruleset.ParseAffinityChain(affinityVerdict(key, f)); ok {
		for _, set := range c.Sets() {
			each(set)
		}
	}
}

// refusedSetOf returns a set on demand that f needs and that the kernel refused.
func (s *State) refusedSetOf(key inet.Addr, f *nat.Frontend) (found ruleset.Set, is bool) {
	check := func(set ruleset.Set) {
		if _, refused := s.refusedSets[set]; refused {
			found, is = set, true
		}
	}
	eachSetOnDemand(key, f, check)
	return found, is
}

// refusedMemberOf returns an element that the kernel refused and that a new backend of f shares
// with other frontends. Without hairpin or outside-backends the replies of the backend would
// bypass the translation, so clients would get wrong answers or none. Until the kernel takes the
// element, the frontend stays as the kernel has it.
func (s *State) refusedMemberOf(p *planner, f *nat.Frontend) (found member, is bool) {
	if len(s.members.aside) == 0 {
		return member{}, false
	}
	check := func(ip netip.Addr) bool {
		for _, k := range []ruleset.Kind{ruleset.Hairpin, ruleset.Outside} {
			m := addressMember(k, ip)
			if st := s.members.all.get(&m); st.want > 0 && !st.have && s.members.isRefused(&m) && !p.now.hasAddr(ip) {
				found, is = m, true
			}
		}
		return is
	}
	_ = slices.ContainsFunc(f.Backends, func(b nat.Backend) bool { return check(b.Addr()) }) ||
		slices.ContainsFunc(f.LocalBackends, func(b netip.AddrPort) bool { return check(b.Addr()) })
	return found, is
}

// hasAddr reports whether one of the backends has an address.
func (f *installed) hasAddr(ip netip.Addr) bool {
	has := func(s slot) bool { return !s.isEmpty() && s.addr() == ip }
	return slices.ContainsFunc(f.slots, has) || slices.ContainsFunc(f.locals, has)
}

func (s *State) countSet(set ruleset.Set, n int) {
	was := s.onDemand[set]
	s.onDemand[set] += n
	switch {
	case was == 0:
		s.program = true
	case s.onDemand[set] == 0:
		delete(s.onDemand, set)
		s.idle = true
	}
}

// setsOnDemand returns the sets on demand that are wanted or in the kernel, without those
// that the kernel refused.
func (s *State) setsOnDemand() []ruleset.Set {
	sets := maps.Clone(s.onDemand)
	for set := range s.refusedSets {
		delete(sets, set)
	}
	for set := range s.have.sets {
		if set.OnDemand() {
			sets[set] = 0
		}
	}
	return slices.SortedFunc(maps.Keys(sets), ruleset.CompareSets)
}

// idleSets returns the sets on demand that are in the kernel and that no frontend wants
// or has.
func (s *State) idleSets() []ruleset.Set {
	idle := map[ruleset.Set]struct{}{}
	for set := range s.have.sets {
		if set.OnDemand() && s.onDemand[set] == 0 {
			idle[set] = struct{}{}
		}
	}
	if len(idle) > 0 {
		for _, f := range s.have.frontends {
			for _, src := range slices.Concat(f.sources, f.oldSources) {
				delete(idle, ruleset.SourcesOf(src))
			}
			c, _ := ruleset.ParseAffinityChain(f.remember)
			for _, set := range c.Sets() {
				delete(idle, set)
			}
		}
	}
	return slices.SortedFunc(maps.Keys(idle), ruleset.CompareSets)
}

// dropSets deletes sets on demand, after the rules that look them up.
func (s *State) dropSets(step *Step, sets []ruleset.Set) {
	if len(sets) == 0 {
		return
	}
	left := slices.DeleteFunc(s.setsOnDemand(), func(set ruleset.Set) bool { return slices.Contains(sets, set) })
	for _, c := range ruleset.Program(&s.settings, s.hasSticky(), left) {
		if s.have.chains[c.Name] != c.Fingerprint() {
			step.addChain(&c)
		}
	}
	for _, set := range sets {
		step.add(ruleset.Op{Verb: ruleset.DeleteSet, Name: set.String()})
	}
}

// takeShare adds f to its Service and returns the number of the Service's maps. A
// Service keeps the number that its frontends have in the kernel, so that its clients
// keep their backends over a restart.
func (s *State) takeShare(key inet.Addr, f *nat.Frontend) uint8 {
	if f.Affinity == 0 {
		return 0
	}
	var prefer uint8
	if have := s.have.frontends[key]; have != nil {
		prefer = shareOf(have)
	}
	return s.shares.take(serviceOf(f.Owner), prefer, func(n uint8) bool {
		for verdict := range s.have.verdicts {
			if c, ok := ruleset.ParseAffinityChain(verdict); ok && c.Share == n {
				return true
			}
		}
		return false
	})
}

func (s *State) releaseShare(f *nat.Frontend) {
	if f.Affinity > 0 {
		s.shares.release(serviceOf(f.Owner))
	}
}

// shareOf returns the number of the maps that the frontend has in the kernel, or 0.
func shareOf(f *installed) uint8 {
	c, _ := ruleset.ParseAffinityChain(f.remember)
	return c.Share
}

// adoptShares assigns all numbers anew, after the kernel was read. Services keep the one that
// they have there.
func (s *State) adoptShares() {
	s.shares = newShares()
	for _, f := range s.have.frontends {
		if number := shareOf(f); number > 0 {
			s.shares.held[serviceOf(f.owner)] = number
		}
	}
	if s.sticky == 0 {
		return
	}
	for _, key := range slices.SortedFunc(maps.Keys(s.want), inet.Addr.Compare) {
		f := s.want[key]
		if f.Affinity == 0 {
			continue
		}
		s.countSets(key, &f, -1)
		f.Share = s.takeShare(key, &f)
		s.countSets(key, &f, +1)
		s.want[key] = f
	}
}
