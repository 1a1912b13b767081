// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"maps"
	"slices"

	"fairlead/nat"
	"fairlead/nat/ruleset"
)

// countSources adds n to the number of ranges that are wanted in each set of source
// ranges, on f's account. The first range of a set needs the set and a rule, and after
// the last both can go.
func (s *State) countSources(f *nat.Frontend, n int) {
	for _, src := range f.Sources {
		set := ruleset.SourcesOf(src)
		was := s.sources[set]
		s.sources[set] += n
		switch {
		case was == 0:
			s.program = true
		case s.sources[set] == 0:
			delete(s.sources, set)
			s.idle = true
		}
	}
}

// sourceSets returns the sets of source ranges that are wanted or in the kernel.
func (s *State) sourceSets() []ruleset.Set {
	sets := maps.Clone(s.sources)
	for set := range s.have.sets {
		if set.OnDemand() {
			sets[set] = 0
		}
	}
	return slices.SortedFunc(maps.Keys(sets), ruleset.CompareSets)
}

// idleSources returns the sets of source ranges that are in the kernel and that no
// frontend wants or has.
func (s *State) idleSources() []ruleset.Set {
	idle := map[ruleset.Set]struct{}{}
	for set := range s.have.sets {
		if set.OnDemand() && s.sources[set] == 0 {
			idle[set] = struct{}{}
		}
	}
	if len(idle) > 0 {
		for _, f := range s.have.frontends {
			for _, src := range slices.Concat(f.sources, f.oldSources) {
				delete(idle, ruleset.SourcesOf(src))
			}
		}
	}
	return slices.SortedFunc(maps.Keys(idle), ruleset.CompareSets)
}

// dropSources deletes sets of source ranges, after the rules that look them up.
func (s *State) dropSources(step *Step, sets []ruleset.Set) {
	if len(sets) == 0 {
		return
	}
	left := slices.DeleteFunc(s.sourceSets(), func(set ruleset.Set) bool { return slices.Contains(sets, set) })
	for _, c := range ruleset.Program(&s.settings, s.hasSticky(), left) {
		if s.have.chains[c.Name] != c.Fingerprint() {
			step.addChain(&c)
		}
	}
	for _, set := range sets {
		step.add(ruleset.Op{Verb: ruleset.DeleteSet, Name: set.String()})
	}
}
