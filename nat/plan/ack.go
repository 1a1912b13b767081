// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"slices"

	"fairlead/nat/ruleset"
)

// Acked records that the kernel carried out step, which Next returned last.
func (s *State) Acked(step *Step) {
	if s.batches++; !s.idle || s.batches > mostBatches {
		s.batches = 0
	}
	for i := range step.Batch {
		s.carryOut(&step.Batch[i])
	}
	for set, ranges := range step.ranges {
		s.have.setRanges(set, ranges)
	}
	s.have.junk = s.have.junk[min(step.junk, len(s.have.junk)):]
	s.program = s.program && !step.programmed
	s.idle = s.idle || step.ahead // what is wanted may change before they are used
	s.members.settle(&s.members.before, true)
	s.members.settle(&s.members.after, true)
	for i := range step.changes {
		s.ackFrontend(&step.changes[i])
	}
	for _, key := range step.slow {
		if s.dirty.has(key) {
			s.dirty.pushBulk(key, s.ownerOf(key))
		}
	}
	s.dirty.fresh.rotate()
	if step.bulk {
		s.dirty.bulk.rotate()
	}
	s.dirty.compact()
}

// carryOut records an operation that the kernel applied to the table.
func (s *State) carryOut(o *ruleset.Op) {
	h := &s.have
	switch o.Verb {
	case ruleset.AddTable:
		h.exists, h.flags = true, 0
	case ruleset.DeleteTable:
		*h = newHolding()
		s.drawn = false
		s.members.lose()
	case ruleset.AddSet:
		h.sets[o.Set] = struct{}{}
		delete(h.oddSets, o.Set)
	case ruleset.DeleteSet:
		if set, ok := ruleset.SetNamed(o.Name); ok {
			delete(h.sets, set)
		}
		h.straySets = slices.DeleteFunc(slices.Clone(h.straySets), func(name string) bool { return name == o.Name })
	case ruleset.DeleteObject:
		gone := ruleset.Object{Name: o.Name, Type: o.Flags}
		h.objects = slices.DeleteFunc(slices.Clone(h.objects), func(have ruleset.Object) bool { return have == gone })
	case ruleset.FlushSet:
		delete(h.spoilt, o.Set)
	case ruleset.AddChain:
		h.chains[o.Chain.Name] = o.Chain.Fingerprint()
	case ruleset.FlushChain:
		h.chains[o.Name] = ""
	case ruleset.DeleteChain:
		delete(h.chains, o.Name)
		delete(h.oddChains, o.Name)
	case ruleset.AddElement:
		if o.Element.IsMember() {
			s.members.acked(&o.Element, true)
		}
	case ruleset.DeleteElement:
		if o.Element.IsMember() {
			s.members.acked(&o.Element, false)
		}
	}
}

func (s *State) ackFrontend(c *change) {
	old := s.have.frontends[c.key]
	s.have.countSlots(c.key, old, c.now)
	if c.now == nil {
		delete(s.have.frontends, c.key)
	} else {
		s.have.frontends[c.key] = c.now
		s.have.hold(c.now.verdict)
		s.have.hold(c.now.remember)
	}
	if old != nil {
		verdict, remember := s.have.release(old.verdict), s.have.release(old.remember)
		s.idle = s.idle || verdict || remember
	}
	switch {
	case c.done:
		s.dirty.remove(c.key)
		s.arranged.remove(c.key)
	case !s.want[c.key].First:
		s.dirty.pushBulk(c.key, s.ownerOf(c.key))
	}
}
