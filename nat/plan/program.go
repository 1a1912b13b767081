// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"maps"
	"net/netip"
	"slices"

	"fairlead/nat/ruleset"
)

// nextProgram compares everything that does not depend on one frontend. It returns
// false while there is more than fits into the batch.
func (s *State) nextProgram(step *Step) bool {
	if s.have.flags == ruleset.TableDormant {
		// The kernel attaches chains while it wakes the table, and refuses new ones in
		// the same transaction.
		step.add(ruleset.Op{Verb: ruleset.AddTable})
		return false
	}
	if s.nextTable(step); step.isFull() && !isForeign(s.have.flags) {
		return false
	}
	chains := s.wantedChains()
	if !s.nextSets(step, chains) {
		return false
	}
	for i := range chains {
		if s.nextChain(step, &chains[i]); step.isFull() && len(s.have.oddSets)+len(s.have.oddChains) == 0 {
			return false
		}
	}
	want := ruleset.RangesOf(&s.settings)
	for _, set := range slices.SortedFunc(maps.Keys(want), ruleset.CompareSets) {
		if !s.nextRanges(step, set, want[set]) {
			return false
		}
	}
	return s.nextJunk(step)
}

// nextJunk deletes these. It returns false while there are more than fit into the batch.
func (s *State) nextJunk(step *Step) bool {
	if !s.hasJunk() {
		return true
	}
	for _, op := range s.have.junk {
		if step.isFull() {
			return false
		}
		step.add(op)
		step.junk++
	}
	return true
}

// nextTable makes the table, or makes it anew if it has other flags. A table that
// has outlived its owner must be adopted before it can be deleted.
func (s *State) nextTable(step *Step) {
	if isForeign(s.have.flags) {
		step.add(ruleset.Op{Verb: ruleset.AdoptTable, Flags: s.have.flags}, ruleset.Op{Verb: ruleset.DeleteTable})
	}
	if isForeign(s.have.flags) || !s.have.exists {
		step.add(ruleset.Op{Verb: ruleset.AddTable})
	}
}

// wantedChains returns the chains of the program and those that frontends in the
// kernel use, each after those that it goes to.
func (s *State) wantedChains() []ruleset.Chain {
	chains := ruleset.Program(&s.settings, s.hasSticky(), s.setsOnDemand())
	seen := map[string]struct{}{}
	for i := range chains {
		seen[chains[i].Name] = struct{}{}
	}
	for _, verdict := range slices.Sorted(maps.Keys(s.have.verdicts)) {
		for _, c := range ruleset.ChainsOf(verdict, &s.settings) {
			if _, ok := seen[c.Name]; !ok {
				seen[c.Name] = struct{}{}
				chains = append(chains, c)
			}
		}
	}
	return chains
}

// nextSets declares the missing sets. It replaces sets whose declaration differs and
// chains that are attached to another hook. The rules that use them are deleted
// before and made again after. It reports false if missing sets are left for the next batch.
func (s *State) nextSets(step *Step, chains []ruleset.Chain) bool {
	var users []string
	for _, list := range s.have.oddSets {
		users = append(users, list...)
	}
	var odd []string
	for i := range chains {
		if list, ok := s.have.oddChains[chains[i].Name]; ok && !s.isRefused(&chains[i]) {
			odd = append(odd, chains[i].Name)
			users = append(users, list...)
		}
	}
	slices.Sort(users)
	for _, name := range slices.Compact(users) {
		step.add(ruleset.Op{Verb: ruleset.FlushChain, Name: name})
	}
	whole := len(s.have.oddSets)+len(odd) > 0
	all := true
	declare := func(set ruleset.Set) {
		_, known := s.have.sets[set]
		if all = all && (whole || known || !step.isFull()); !all {
			return
		}
		if _, ok := s.have.oddSets[set]; ok {
			step.add(ruleset.Op{Verb: ruleset.DeleteSet, Name: set.String()}, ruleset.Op{Verb: ruleset.AddSet, Set: set})
			if set.Spec().Learnt {
				step.add(ruleset.Op{Verb: ruleset.CarryClients, Set: set, Element: ruleset.Element{Set: set}})
			}
		} else if !known {
			step.add(ruleset.Op{Verb: ruleset.AddSet, Set: set})
		}
	}
	ruleset.AllSets(declare)
	for _, set := range s.setsOnDemand() {
		declare(set)
	}
	for _, name := range odd {
		step.add(ruleset.Op{Verb: ruleset.DeleteChain, Name: name})
	}
	return all && (whole || !step.isFull())
}

// nextChain makes a chain unless the kernel holds it as wanted and the operations
// before leave it in place.
func (s *State) nextChain(step *Step, c *ruleset.Chain) {
	if step.has(c.Name) || s.isRefused(c) {
		return
	}
	if s.have.chains[c.Name] != c.Fingerprint() || step.flushes(c.Name) {
		step.addChain(c)
	}
}

// flushes reports whether the batch deletes the rules of a chain.
func (s *Step) flushes(chain string) bool {
	return slices.ContainsFunc(s.Batch, func(o ruleset.Op) bool {
		return (o.Verb == ruleset.FlushChain || o.Verb == ruleset.DeleteChain) && o.Name == chain
	})
}

// nextRanges changes a set that settings fill.
func (s *State) nextRanges(step *Step, set ruleset.Set, want []netip.Prefix) bool {
	have := s.have.ranges[set]
	if _, refused := s.refusedSets[set]; refused {
		return true
	}
	if s.have.spoilt[set] {
		have = nil
		step.add(ruleset.Op{Verb: ruleset.FlushSet, Set: set})
	} else if slices.Equal(want, have) {
		return true
	}
	todo := groups(lacking(have, want), lacking(want, have))
	done := 0
	for ; done < len(todo) && !step.isFull(); done++ {
		for _, p := range todo[done].dels {
			step.add(ruleset.Op{Verb: ruleset.DeleteElement, Element: ruleset.Element{Set: set, Client: p}})
		}
		for _, p := range todo[done].adds {
			step.add(ruleset.Op{Verb: ruleset.AddElement, Element: ruleset.Element{Set: set, Client: p}})
		}
	}
	if step.ranges == nil {
		step.ranges = map[ruleset.Set][]netip.Prefix{}
	}
	if step.ranges[set] = want; done < len(todo) {
		step.ranges[set] = partly(have, todo[:done])
	}
	return done == len(todo)
}

// partly returns the ranges after some groups were carried out, sorted.
func partly(have []netip.Prefix, done []group) []netip.Prefix {
	now := make(map[netip.Prefix]struct{}, len(have))
	for _, p := range have {
		now[p] = struct{}{}
	}
	for _, g := range done {
		for _, p := range g.dels {
			delete(now, p)
		}
		for _, p := range g.adds {
			now[p] = struct{}{}
		}
	}
	return slices.SortedFunc(maps.Keys(now), netip.Prefix.Compare)
}
