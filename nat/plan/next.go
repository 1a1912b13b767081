// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"maps"
	"slices"

	"fairlead/internal/inet"
	"fairlead/nat/ruleset"
)

// Next returns the next step that brings the kernel towards the wanted state, or nil
// when nothing is pending. It changes nothing, so it returns the same step again
// until Acked. A limit of 0 stands for ruleset.DefaultLimit. The
// batch may exceed it by chains that are replaced together with a set, and by
// ranges that overlap.
//
// The order over several batches is such that no packet meets a half-made
// frontend. Backends come before the verdict that leads to them and go after it. An
// address becomes exclusive when all its ports are there.
func (s *State) Next(limit int) *Step {
	if limit <= 0 {
		limit = ruleset.DefaultLimit
	}
	return s.next(&Step{limit: limit, room: limit})
}

// NextSingle is Next for a batch with operations for one frontend, or one chain. It
// serves to find out which one the kernel refuses.
func (s *State) NextSingle() *Step {
	return s.next(&Step{limit: 1, room: ruleset.DefaultLimit})
}

func (s *State) next(step *Step) *Step {
	if s.program {
		step.programmed = s.nextProgram(step)
	}
	all := (!s.program || step.programmed) && s.nextFrontends(step, &s.dirty.vital) && s.nextMembers(step, &s.members.before) &&
		s.nextFrontends(step, &s.dirty.fresh, &s.dirty.rest) && s.nextLarge(step) && s.nextMembers(step, &s.members.after)
	if all && len(step.Batch) == 0 && len(step.changes) == 0 {
		s.nextIdle(step)
	}
	if step.isEmpty() {
		return nil
	}
	return step
}

// nextFrontends plans dirty frontends until the batch is full. It reports whether
// all of them fitted.
func (s *State) nextFrontends(step *Step, lanes ...*queue[inet.Addr]) bool {
	return each(func(key inet.Addr) bool { return !step.isFull() && s.planFrontend(step, key, false) }, lanes...)
}

func (s *State) nextLarge(step *Step) bool {
	return s.large.each(func(key inet.Addr) bool { return !step.isFull() && s.planFrontend(step, key, true) })
}

// nextMembers does the same for elements that frontends share. Deletions come first,
// because an element is replaced by deleting and adding it.
func (s *State) nextMembers(step *Step, q *memberQueue) bool {
	var dels, adds []ruleset.Op
	var last ruleset.Element
	all := s.members.pending(q, func(m *member, want bool) bool {
		e := s.members.element(m)
		if step.cost+len(dels)+len(adds) >= step.limit && !samePlace(&e, &last) {
			return false
		}
		if last = e; want {
			adds = append(adds, ruleset.Op{Verb: ruleset.AddElement, Element: e})
		} else {
			dels = append(dels, ruleset.Op{Verb: ruleset.DeleteElement, Element: e})
		}
		return true
	})
	step.add(dels...)
	step.add(adds...)
	return all
}

// samePlace reports whether two elements of shared sets have the same key.
func samePlace(a, b *ruleset.Element) bool {
	return a.Set == b.Set && a.Key == b.Key && a.Client == b.Client
}

// nextIdle removes the chains that neither the program nor a frontend uses, those of
// other programs included, and the sets of other programs. Rules go first, so that
// the order of chains does not matter.
func (s *State) nextIdle(step *Step) {
	if !s.idle {
		return
	}
	live := s.liveChains()
	var idle []string
	for _, name := range slices.SortedFunc(maps.Keys(s.have.chains), ruleset.CompareDrops) {
		if _, ok := live[name]; !ok {
			idle = append(idle, name)
		}
	}
	if len(idle) > 1 || len(s.have.straySets)+len(s.have.objects) > 0 || len(s.idleSets()) > 0 {
		for _, name := range idle {
			step.add(ruleset.Op{Verb: ruleset.FlushChain, Name: name})
		}
	}
	sets := s.idleSets()
	if s.idle = len(idle)+len(s.have.straySets)+len(s.have.objects)+len(sets) > 0; !s.idle {
		return // only saves the search next time
	}
	s.dropSets(step, sets)
	for _, name := range s.have.straySets {
		step.add(ruleset.Op{Verb: ruleset.DeleteSet, Name: name})
	}
	for _, name := range idle {
		step.add(ruleset.Op{Verb: ruleset.DeleteChain, Name: name})
	}
	for _, o := range s.have.objects { // behind all that may refer to them
		step.add(ruleset.Op{Verb: ruleset.DeleteObject, Name: o.Name, Flags: o.Type})
	}
}

func (s *State) liveChains() map[string]struct{} {
	live := map[string]struct{}{}
	for _, c := range ruleset.Program(&s.settings, s.hasSticky(), nil) {
		live[c.Name] = struct{}{}
	}
	for verdict := range s.have.verdicts {
		for _, c := range ruleset.ChainsOf(verdict, &s.settings) {
			live[c.Name] = struct{}{}
		}
	}
	return live
}
