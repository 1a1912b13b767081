// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"maps"
	"net/netip"
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
//
// Small changes come first. A large one gets a part of each batch, so that neither of
// them waits for all of the others.
func (s *State) Next(limit int) *Step {
	if limit <= 0 {
		limit = ruleset.DefaultLimit
	}
	return s.next(s.buffers.fill(&Step{limit: limit, room: limit, work: mostWork}))
}

// Recycle gives the memory of an acknowledged step to the next one. The step must not be
// used afterwards. Calling it is optional.
func (s *State) Recycle(step *Step) { s.buffers.keep(step) }

// NextSingle is Next for a batch with operations for one frontend, one chain, one set or the
// ranges of one. It serves to find out which one the kernel refuses.
func (s *State) NextSingle() *Step {
	return s.next(&Step{limit: 1, room: ruleset.DefaultLimit, work: mostWork})
}

func (s *State) next(step *Step) *Step {
	if s.Begun() {
		s.touchAll()
	}
	if s.idle && s.batches >= mostBatches {
		if s.nextIdle(step); len(step.Batch) > 0 {
			step.idle = true
			return step
		}
	}
	switch {
	case s.program:
		step.programmed = s.nextProgram(step)
	case s.hasJunk():
		s.nextJunk(step)
	}
	if !s.program || step.programmed {
		s.nextWhole(step, &s.dirty.vital)
		s.nextDraws(step)
		s.nextSmall(step)
		s.nextMembers(step, &s.members.before)
		s.nextWhole(step, &s.dirty.rest)
		s.nextBulk(step)
		s.nextMembers(step, &s.members.after)
		if len(step.Batch)+len(step.changes) == 0 {
			s.nextIdle(step)
			step.idle = len(step.Batch) > 0
		}
	}
	if step.isEmpty() {
		s.buffers.keep(step)
		s.buffers.rest()
		return nil
	}
	return step
}

// nextWhole plans frontends until the batch is full.
func (s *State) nextWhole(step *Step, q *queue[inet.Addr]) {
	q.each(func(key inet.Addr) bool {
		return !step.isFull() && s.hasTime(step) && s.planFrontend(step, key, portion{whole: true, room: step.room - step.cost})
	})
}

// nextSmall plans what has just changed, without the changes that turn out to be large.
func (s *State) nextSmall(step *Step) {
	s.dirty.fresh.eachInTurn(func(key inet.Addr) bool {
		switch {
		case step.isFull():
			return false
		case s.SizeOf(key) > mostSmall && step.work <= 0:
			step.slow = append(step.slow, key)
			return true
		}
		return s.planFrontend(step, key, portion{whole: true, small: step.limit != unlimited, room: step.room - step.cost})
	})
}

// nextBulk plans large changes, each as far as there is room.
func (s *State) nextBulk(step *Step) {
	limit := min(step.limit, max(mostBulk, step.cost+leastBulk))
	if step.limit == unlimited {
		limit = unlimited
	}
	room := limit
	if step.room > step.limit {
		room = step.room
	}
	f := func(key inet.Addr) bool {
		if step.cost >= limit || !s.hasTime(step) {
			return false
		}
		step.bulk = true
		return s.planFrontend(step, key, portion{room: room - step.cost})
	}
	if s.dirty.bulk.each(f) {
		for _, key := range step.slow {
			if !f(key) {
				break
			}
		}
	}
}

// hasTime reports whether a step may plan another frontend. The first one is planned
// whatever its size.
func (s *State) hasTime(step *Step) bool {
	return step.work > 0 || len(step.changes) == 0 || step.limit == unlimited
}

// nextMembers does the same for elements that frontends share. Deletions come first,
// because an element is replaced by deleting and adding it.
func (s *State) nextMembers(step *Step, q *memberQueue) {
	limit := step.limit
	if s.dirty.rest.len()+len(s.dirty.bulk.order) > 0 && limit != unlimited {
		limit = max(limit/2, 1)
	}
	dels, adds := s.buffers.takeOps()
	var last ruleset.Element
	s.members.pending(q, func(m member, want bool) bool {
		if step.hasMember(&m) || q == &s.members.after && !s.isComplete(step, m.address()) {
			return true
		}
		e := s.members.element(&m)
		if step.cost+len(dels)+len(adds) >= limit && !samePlace(&e, &last) {
			return false
		}
		if last = e; want {
			adds = append(adds, ruleset.Op{Verb: ruleset.AddElement, Element: e})
		} else {
			dels = append(dels, ruleset.Op{Verb: ruleset.DeleteElement, Element: e})
		}
		step.addMember(&m)
		return true
	})
	step.add(dels...)
	step.add(adds...)
	s.buffers.giveOps(dels, adds)
}

// isComplete reports whether no frontend of an address waits, once the step is carried
// out.
func (s *State) isComplete(step *Step, ip netip.Addr) bool {
	left := s.dirty.at[ip] + s.held[ip]
	if left == 0 {
		return true
	}
	for i := range step.changes {
		if c := &step.changes[i]; c.done && c.key.IP == ip {
			left--
		}
	}
	return left == 0
}

// samePlace reports whether two elements of shared sets have the same key.
func samePlace(a, b *ruleset.Element) bool {
	return a.Set == b.Set && a.Key == b.Key && a.Client == b.Client
}

// nextIdle removes the chains that neither the program nor a frontend uses, those of
// other programs included, and the sets of other programs. Rules go first, so that
// the order of chains does not matter.
func (s *State) nextIdle(step *Step) {
	if !s.idle || s.refusedIdle {
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
	for _, chains := range s.drawChains() {
		for i := range chains {
			live[chains[i].Name] = struct{}{}
		}
	}
	return live
}
