// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"maps"
	"slices"

	"fairlead/internal/inet"
	"fairlead/nat/ruleset"
)

// Adopt replaces the State's view of the kernel by the objects that were found
// there. The next steps repair the differences object by object. There are none
// unless another program interfered. The repair follows these rules:
//
//   - An object that equals the wanted one stays, with its counters and flows.
//   - Rules, policies and elements are mended in place.
//   - A set whose declaration differs, or a chain at another hook, is
//     replaced alone, in one transaction with the chains that use it.
//   - Sets and chains of other programs are removed last.
//   - A table with other flags is made anew in one transaction. A dormant one is
//     woken.
//
// It returns how the kernel differs from the State's previous view.
func (s *State) Adopt(found *ruleset.Snapshot) Drift {
	was := s.have
	s.have = adopted(found)
	clear(s.arranged)
	s.adoptShares()
	s.dirty = newLanes()
	shared := s.adoptMembers(found)
	s.forgive()
	s.idle, s.program, s.drawn = true, true, false
	if s.late = !found.Exists; s.late {
		s.touchVital()
	} else {
		s.touchAll()
	}
	return s.have.drift(&was, shared)
}

// AdoptRules is Adopt for a snapshot without elements, which another program did not
// change. It reports false, and changes nothing, if the table or its sets differ from what
// the State knows; then Adopt must follow.
func (s *State) AdoptRules(found *ruleset.Snapshot) (drift Drift, ok bool) {
	if found.Exists != s.have.exists || found.Flags != s.have.flags || len(found.Sets) != len(s.have.sets) || len(s.have.oddSets) > 0 {
		return nil, false
	}
	for set, ours := range found.Sets {
		if _, known := s.have.sets[set]; !ours || !known {
			return nil, false
		}
	}
	was := s.have
	s.have.chains, s.have.oddChains = map[string]string{}, map[string][]string{}
	s.have.adoptDeclarations(found)
	s.idle, s.program, s.drawn = true, true, false
	s.have.driftOfSets(&was, &drift)
	s.have.driftOfChains(&was, &drift)
	return drift, true
}

// touchVital marks the frontends that others depend on. The rest of a table that is missing
// waits until these are in the kernel: to put many thousand in order takes longer.
func (s *State) touchVital() {
	for key, f := range s.want {
		if f.First {
			s.touchLast(key)
		}
	}
	s.dirty.sort(nil)
}

// Begun reports whether a table that was missing is made again, and the next step is the first
// one about what others do not depend on. To plan that step everything is put in order, which
// takes long where there is much.
func (s *State) Begun() bool { return s.late && s.have.exists }

// touchAll marks everything that may differ from the kernel.
func (s *State) touchAll() {
	s.late = false
	s.dirty.expect(max(len(s.want), len(s.have.frontends)))
	for key := range s.want {
		s.touchLast(key)
	}
	for key := range s.have.frontends {
		s.touchLast(key)
	}
	s.members.touchAll()
	s.dirty.sort(s.traffic)
}

// adopted groups the elements that were found by frontend. It is empty for a table
// that is made anew.
func adopted(found *ruleset.Snapshot) holding {
	h := newHolding()
	h.exists, h.flags = found.Exists, found.Flags
	if isForeign(h.flags) {
		return h
	}
	h.adoptDeclarations(found)
	for set, ranges := range found.Ranges {
		h.setRanges(set, ranges)
	}
	for e := range found.Elements.All() {
		if !e.IsMember() {
			h.adoptElement(e)
		}
	}
	for i := range found.Strays {
		h.adoptStray(&found.Strays[i])
	}
	for key, f := range h.frontends {
		f.slots, f.locals = fitted(f.slots), fitted(f.locals) // they grew one by one
		h.hold(f.verdict)
		h.hold(f.remember)
		h.countSlots(key, nil, f)
	}
	return h
}

// fitted returns a list that takes no more memory than it needs.
func fitted(list []slot) []slot {
	if cap(list) == len(list) {
		return list
	}
	return append(make([]slot, 0, len(list)), list...)
}

func (h *holding) adoptDeclarations(found *ruleset.Snapshot) {
	users := map[string][]string{} // set or chain -> chains whose rules name it
	for _, name := range slices.Sorted(maps.Keys(found.Chains)) {
		use := func(used string) {
			if list := users[used]; len(list) == 0 || list[len(list)-1] != name {
				users[used] = append(list, name)
			}
		}
		c := found.Chains[name]
		c.Uses(use, use)
		h.chains[name] = c.Fingerprint()
		if !c.Hook.SameAs(ruleset.Hooks[name]) {
			h.oddChains[name] = nil
		}
	}
	for name := range h.oddChains {
		h.oddChains[name] = users[name]
	}
	for set, ours := range found.Sets {
		h.sets[set] = struct{}{}
		if !ours {
			h.oddSets[set] = users[set.String()]
		}
	}
	h.straySets, h.objects = found.StraySets, found.StrayObjects
}

// adoptElement notes an element. It marks elements that do not fit together, because
// another program wrote them, to be replaced or removed.
func (h *holding) adoptElement(e *ruleset.Element) {
	f := h.frontend(e.Key, e.Comment)
	switch e.Set.Kind {
	case ruleset.VIPs, ruleset.NodePorts:
		f.adoptVerdict(e)
	case ruleset.Sticky, ruleset.NodeSticky:
		f.remember, f.oldRemember = e.Verdict, e.Comment != f.owner
	case ruleset.Backends, ruleset.NodeBackends:
		f.adoptSlot(&f.slots, e)
	case ruleset.Locals, ruleset.NodeLocals:
		f.adoptSlot(&f.locals, e)
	case ruleset.Sources:
		if e.Comment == f.owner {
			f.sources = append(f.sources, e.Client)
		} else {
			f.oldSources = append(f.oldSources, e.Client)
		}
	}
}

// frontend returns the frontend at key. The first element that is read gives it its
// owner.
func (h *holding) frontend(key inet.Addr, owner string) *installed {
	f := h.frontends[key]
	if f == nil {
		f = &installed{owner: owner}
		h.frontends[key] = f
	}
	return f
}

// adoptMembers takes the elements that belong to no single frontend, and returns what
// changed. One with a comment that ours do not have differs from each wanted one, and is
// replaced.
func (s *State) adoptMembers(found *ruleset.Snapshot) Drift {
	for e := range found.Elements.All() {
		if isForeign(found.Flags) || !e.IsMember() {
			continue
		}
		if e.Set.Kind == ruleset.ClusterIPs {
			e.Key = inet.Addr{IP: e.Key.IP}
		}
		s.members.find(e)
	}
	var d Drift
	if !found.Exists { // then that is the difference
		s.members.adopt(nil)
		return d
	}
	s.members.adopt(func(m member) {
		e := s.members.element(&m)
		d.note(KindElement, e.Set.String()+" "+e.String())
	})
	if !isForeign(found.Flags) {
		s.members.unread.counts = maps.Clone(found.Unread)
	}
	return d
}

// adoptVerdict also records a verdict that is no shape. That verdict differs from
// every wanted one and is replaced.
func (f *installed) adoptVerdict(e *ruleset.Element) {
	f.verdict, f.oldVerdict = e.Verdict, e.Comment != f.owner
	if sh, ok := ruleset.ShapeOfVerdict(e.Verdict, e.Set.Family, e.Key.IsNodePort()); ok {
		f.shape = sh
	}
}

// mostReserved bounds the memory that a verdict alone reserves, because another program may have
// written it.
const mostReserved = 1 << 6

// adoptSlot takes the backend of a slot. The number of slots is bounded, or an
// element of another program could make us allocate without bound.
func (f *installed) adoptSlot(slots *[]slot, e *ruleset.Element) {
	if e.Slot >= ruleset.MaxSlots {
		f.junk = append(f.junk, ruleset.Op{Verb: ruleset.DeleteElement, Element: *e})
		return
	}
	if len(f.slots) == 0 && len(f.locals) == 0 {
		f.counted = e.Counter
	}
	if cap(*slots) == 0 {
		*slots = make([]slot, 0, min(f.shape.SlotsIn(e.Set.Kind), mostReserved))
	}
	for uint32(len(*slots)) <= e.Slot {
		*slots = append(*slots, slot{})
	}
	s := slotOf(e.Data)
	s.stale = e.Comment != f.owner || e.Counter != f.counted
	(*slots)[e.Slot] = s
}

// adoptStray notes an element to be deleted, with the frontend in whose place it is.
func (h *holding) adoptStray(stray *ruleset.Stray) {
	op := ruleset.Op{Verb: ruleset.DeleteElement, Stray: stray}
	switch e := &stray.Element; {
	case stray.Set.Spec().IsInterval():
		h.spoilt[stray.Set] = true
	case *e == (ruleset.Element{}) || e.IsMember():
		h.junk = append(h.junk, op)
	default:
		f := h.frontend(e.Key, e.Comment)
		f.junk = append(f.junk, op)
	}
}
