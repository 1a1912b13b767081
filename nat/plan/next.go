// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"maps"
	"slices"

	"fairlead/internal/inet"
	"fairlead/nat/ruleset"
)

// Next returns the next batch that brings have towards want, or nil when
// nothing is pending. It changes nothing: until Acked it returns the same
// again. A limit of 0 stands for ruleset.DefaultLimit; the batch may exceed it by what
// belongs to the chains and to one slot.
//
// The order over several batches is such that no packet meets a half-made
// frontend: backends are there before the verdict that leads to them and go
// after it; an address is exclusive when all its ports are there.
func (s *State) Next(limit int) *Step {
	if limit <= 0 {
		limit = ruleset.DefaultLimit
	}
	b := &Step{}
	if s.program {
		s.nextProgram(b)
	}
	all := s.nextMembers(b, &s.early, limit) && s.nextFrontends(b, limit) && s.nextMembers(b, &s.late, limit)
	if b.Len() == 0 && len(b.changes) == 0 && all {
		b.Drops = s.idleChains()
	}
	if b.Len() == 0 && len(b.changes) == 0 {
		return nil
	}
	return b
}

// nextProgram compares everything that does not depend on one frontend.
func (s *State) nextProgram(b *Step) {
	b.Recreate = s.have.alien != ""
	b.Declare = !s.have.exists || b.Recreate
	for _, c := range ruleset.Program(&s.settings, s.sticks()) {
		if s.have.chains[c.Name] != c.Fingerprint() {
			b.Put(c)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.have.verdicts)) {
		s.putChains(b, name)
	}
	for set, want := range ruleset.RangesOf(&s.settings) {
		if !slices.Equal(want, s.have.ranges[set]) {
			b.Fills = append(b.Fills, ruleset.Fill{Set: set, Ranges: want})
		}
	}
	slices.SortFunc(b.Fills, func(x, y ruleset.Fill) int { return ruleset.CompareSets(x.Set, y.Set) })
	b.Dels = append(b.Dels, s.have.junk...)
}

// putChains adds the chains behind a verdict as far as the kernel lacks them.
func (s *State) putChains(b *Step, verdict string) {
	for _, c := range ruleset.ChainsOf(verdict, &s.settings) {
		if s.have.chains[c.Name] != c.Fingerprint() {
			b.Put(c)
		}
	}
}

// nextFrontends plans touched frontends until the batch is full. It reports
// whether that was all of them.
func (s *State) nextFrontends(b *Step, limit int) bool {
	return s.touched.each(func(key inet.Addr) bool {
		return b.Size() < limit && s.planFrontend(b, key, limit)
	})
}

// nextMembers does the same for elements that frontends share.
func (s *State) nextMembers(b *Step, q *queue[ruleset.Element], limit int) bool {
	return q.each(func(e ruleset.Element) bool {
		_, have := s.have.members[e]
		want := s.members[e] > 0
		if have == want {
			return true
		}
		if b.Size() >= limit {
			return false
		}
		if want {
			b.Adds = append(b.Adds, e)
		} else {
			b.Dels = append(b.Dels, e)
		}
		return true
	})
}

// idleChains returns the chains that neither the program nor a frontend uses,
// each before those that it refers to.
func (s *State) idleChains() []string {
	if len(s.idle) == 0 {
		return nil
	}
	live := map[string]struct{}{}
	for _, c := range ruleset.Program(&s.settings, s.sticks()) {
		live[c.Name] = struct{}{}
	}
	for verdict := range s.have.verdicts {
		for _, c := range ruleset.ChainsOf(verdict, &s.settings) {
			live[c.Name] = struct{}{}
		}
	}
	var out []string
	for name := range s.have.chains {
		if _, ok := live[name]; !ok {
			out = append(out, name)
		}
	}
	slices.SortFunc(out, ruleset.CompareDrops)
	if len(out) == 0 {
		clear(s.idle) // only saves looking again
	}
	return out
}
