// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"net/netip"
	"slices"

	"fairlead/internal/inet"
	"fairlead/nat"
	"fairlead/nat/ruleset"
)

// AdoptNamed is Adopt for some elements, while another program changes nothing else. Its cost
// does not depend on the size of the table, except that it looks at each host port if one is
// among the elements. It reports false, and changes nothing, if the State knows too little;
// then Adopt must follow.
func (s *State) AdoptNamed(found *ruleset.Named) (drift Drift, ok bool) {
	if !s.have.exists || isForeign(s.have.flags) || len(s.have.oddSets) > 0 || s.late || len(s.members.unread.counts) > 0 {
		return nil, false
	}
	p, ok := newPatch(&s.have, found)
	if !ok {
		return nil, false
	}
	p.adopt(found, s.mayRemember)
	s.patchFrontends(p, &drift)
	s.patchRest(p, found, &drift)
	s.members.patch(p.members, found, func(e ruleset.Element) { drift.note(KindElement, e.Set.String()+" "+e.String()) })
	s.dirty.sort(s.traffic)
	return drift, true
}

// patch holds what some elements belong to, as it is now.
type patch struct {
	holding // frontends are copies; the rest is about the named elements only
	// members are the named elements that belong to no single frontend.
	members []ruleset.Element
	// strays are these, and those that cannot be read.
	strays []ruleset.Stray
}

// newPatch copies the frontends that elements belong to, without these elements. It reports
// false for one whose counters are about to be switched.
func newPatch(have *holding, found *ruleset.Named) (*patch, bool) {
	p := &patch{holding: newHolding()}
	for i := range found.Asked {
		asked := &found.Asked[i]
		switch e := asked.Element; {
		case e == (ruleset.Element{}), asked.Set.Spec().Learnt:
			p.strays = append(p.strays, *asked)
		case e.IsMember():
			p.strays = append(p.strays, *asked)
			p.members = append(p.members, placeOf(&e))
		default:
			f := p.copyOf(have, e.Key)
			if f == nil {
				continue
			}
			if f.switched > 0 {
				return nil, false
			}
			f.forget(asked)
		}
	}
	return p, true
}

// placeOf returns an element with nothing but its set and key.
func placeOf(e *ruleset.Element) ruleset.Element {
	out := ruleset.Element{Set: e.Set, Key: e.Key, Client: e.Client}
	if e.Set.Kind == ruleset.ClusterIPs {
		out.Key = inet.Addr{IP: e.Key.IP}
	}
	return out
}

// copyOf returns the copy of a frontend, or nil if the kernel did not have it.
func (p *patch) copyOf(have *holding, key inet.Addr) *installed {
	if f := p.frontends[key]; f != nil {
		return f
	}
	was := have.frontends[key]
	if was == nil {
		return nil
	}
	f := *was
	f.exact = nil
	f.slots, f.locals = slices.Clone(was.slots), slices.Clone(was.locals)
	f.sources, f.oldSources = slices.Clone(was.sources), slices.Clone(was.oldSources)
	f.junk = slices.Clone(was.junk)
	p.frontends[key] = &f
	return &f
}

// forget removes an element from what is known.
func (f *installed) forget(asked *ruleset.Stray) {
	e := &asked.Element
	f.junk = slices.DeleteFunc(f.junk, func(o ruleset.Op) bool {
		if o.Stray != nil {
			return o.Stray.Set == asked.Set && o.Stray.Key == asked.Key
		}
		return o.Element.Set == e.Set && o.Element.Slot == e.Slot
	})
	switch e.Set.Kind {
	case ruleset.VIPs, ruleset.NodePorts:
		f.shape, f.verdict, f.oldVerdict = ruleset.Shape{}, "", false
	case ruleset.Sticky, ruleset.NodeSticky:
		f.remember, f.oldRemember = "", false
	case ruleset.Backends, ruleset.NodeBackends:
		f.slots = withoutSlot(f.slots, e.Slot)
	case ruleset.Locals, ruleset.NodeLocals:
		f.locals = withoutSlot(f.locals, e.Slot)
	case ruleset.Sources:
		is := func(p netip.Prefix) bool { return p == e.Client }
		f.sources, f.oldSources = slices.DeleteFunc(f.sources, is), slices.DeleteFunc(f.oldSources, is)
	}
}

// withoutSlot returns slots without the backend of one. There is none behind the last backend.
func withoutSlot(slots []slot, i uint32) []slot {
	if uint64(i) >= uint64(len(slots)) {
		return slots
	}
	slots[i] = slot{}
	for len(slots) > 0 && slots[len(slots)-1].isEmpty() {
		slots = slots[:len(slots)-1]
	}
	return slots
}

// adopt adds what was found. Of the entries of affinity maps it adds those that lead to a
// backend which the client may not be remembered with.
func (p *patch) adopt(found *ruleset.Named, mayRemember func(*ruleset.Element) bool) {
	for e := range found.Found.Elements.All() {
		if !e.IsMember() {
			p.adoptElement(e)
		}
	}
	for i := range found.Found.Strays {
		stray := &found.Found.Strays[i]
		if !stray.Set.Spec().Learnt {
			p.adoptStray(stray)
		} else if !mayRemember(&stray.Element) {
			p.junk = append(p.junk, ruleset.Op{Verb: ruleset.DeleteElement, Stray: stray})
		}
	}
}

// mayRemember reports whether an entry of an affinity map leads to a backend that the client
// may have.
func (s *State) mayRemember(e *ruleset.Element) bool {
	f := s.want[e.Key]
	return f.MayRemember(nat.Pair{Frontend: e.Key, Backend: e.Data, Local: e.Set.IsLocalAffinity()})
}

// patchFrontends replaces frontends by their copies, and marks those that changed.
func (s *State) patchFrontends(p *patch, drift *Drift) {
	for key, now := range p.frontends {
		was := s.have.frontends[key]
		if now.isEmpty() {
			now = nil
		}
		if was == nil && now == nil || was != nil && now != nil && !now.differs(was) {
			continue
		}
		drift.note(KindElement, p.nameOf(key, &s.have))
		s.have.countSlots(key, was, now)
		if was != nil {
			verdict, remember := s.have.release(was.verdict), s.have.release(was.remember)
			s.idle = s.idle || verdict || remember
			delete(s.have.frontends, key)
		}
		if now != nil {
			s.have.hold(now.verdict)
			s.have.hold(now.remember)
			s.have.frontends[key] = now
		}
		s.touchLast(key)
	}
}

// isEmpty reports whether the kernel has nothing of a frontend.
func (f *installed) isEmpty() bool {
	return f.verdict == "" && f.remember == "" && len(f.slots)+len(f.locals)+len(f.sources)+len(f.oldSources)+len(f.junk) == 0
}

// patchRest replaces ranges, and elements that cannot be read or that no frontend has.
func (s *State) patchRest(p *patch, found *ruleset.Named, drift *Drift) {
	h := &s.have
	type place struct {
		set ruleset.Set
		key string
	}
	asked := make(map[place]struct{}, len(p.strays))
	for i := range p.strays {
		asked[place{p.strays[i].Set, p.strays[i].Key}] = struct{}{}
	}
	h.junk = slices.DeleteFunc(slices.Clone(h.junk), func(o ruleset.Op) bool {
		_, is := asked[place{o.Stray.Set, o.Stray.Key}]
		return is
	})
	for i := range p.junk {
		drift.note(KindElement, p.junk[i].Stray.Set.String()+" "+p.junk[i].Stray.String())
	}
	h.junk = append(h.junk, p.junk...)
	for set, ranges := range found.Found.Ranges {
		if !p.spoilt[set] && !h.spoilt[set] && slices.Equal(ranges, h.ranges[set]) {
			continue
		}
		drift.note(KindElement, "ranges of "+set.String())
		h.setRanges(set, ranges)
		delete(h.spoilt, set)
		if p.spoilt[set] {
			h.spoilt[set] = true
		}
		s.program = true
	}
}

// patch makes the members at some places those that were found there, and queues those that
// are not settled. It calls note for each that appeared or disappeared.
func (ms *members) patch(places []ruleset.Element, found *ruleset.Named, note func(ruleset.Element)) {
	if len(places) == 0 {
		return
	}
	for e := range found.Found.Elements.All() {
		if e.IsMember() {
			e.Key = placeOf(e).Key
			ms.find(e)
		}
	}
	at := make(map[ruleset.Element]struct{}, len(places))
	var named []member // those that are more than an address first
	for i := range places {
		at[places[i]] = struct{}{}
	}
	for n, e := range ms.others {
		if _, is := at[placeOf(&e)]; is {
			named = append(named, member{set: e.Set, other: n})
		}
	}
	for i := range places {
		if m, hasAddr, _ := twinOf(&places[i]); hasAddr {
			named = append(named, m)
		}
	}
	for i := range named {
		ms.patchOne(&named[i], note)
	}
	ms.before.unsorted, ms.after.unsorted = true, true
}

func (ms *members) patchOne(m *member, note func(ruleset.Element)) {
	st := ms.all.get(m)
	if st.found != st.have {
		note(ms.element(m))
	}
	st.have, st.found = st.found, false
	if ms.hasTwin(m) {
		st.queued = 0 // the twin has to go first, so both wait in one list
	}
	if !st.isSettled() {
		ms.push(m, &st)
	}
	ms.put(m, st)
}
