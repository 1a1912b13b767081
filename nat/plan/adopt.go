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

// add notes an element that was found in the kernel. Elements that do not fit
// together, because somebody meddled, are noted as to be replaced or removed.
func (r *holding) add(e ruleset.Element) {
	if e.IsMember() {
		r.addMember(e)
		return
	}
	f := r.frontends[e.Key]
	if f == nil {
		f = &installed{owner: e.Comment}
		r.frontends[e.Key] = f
	}
	switch e.Set.Kind {
	case ruleset.VIPs, ruleset.NodePorts:
		r.addVerdict(f, e)
	case ruleset.Sticky, ruleset.NodeSticky:
		if e.Comment != f.owner {
			r.junk = append(r.junk, e)
			return
		}
		f.remember = e.Verdict
	case ruleset.Backends, ruleset.NodeBackends:
		r.addSlot(f, &f.slots, e)
	case ruleset.Locals, ruleset.NodeLocals:
		r.addSlot(f, &f.locals, e)
	case ruleset.Sources:
		if e.Comment != f.owner {
			r.junk = append(r.junk, e)
			return
		}
		f.sources = append(f.sources, e.Client)
	}
}

// addMember takes elements that belong to no single frontend.
func (r *holding) addMember(e ruleset.Element) {
	switch e.Set.Kind {
	case ruleset.HostPorts, ruleset.HostIPPorts:
	case ruleset.ClusterIPs:
		e.Comment, e.Key = "", inet.Addr{IP: e.Key.IP}
	default:
		e.Comment = ""
	}
	r.members[e] = struct{}{}
}

// addVerdict takes a verdict that is not a shape for what it is, too: it will
// differ from every wanted one and be replaced.
func (r *holding) addVerdict(f *installed, e ruleset.Element) {
	f.owner = e.Comment // VIPs are read first
	f.verdict = e.Verdict
	if sh, ok := ruleset.ShapeOfVerdict(e.Verdict, e.Set.Family, e.Key.IsNodePort()); ok {
		f.shape = sh
	}
}

// addSlot takes the backend of a slot. Its number is bounded, or an element
// that somebody added could make us allocate without bound.
func (r *holding) addSlot(f *installed, slots *[]netip.AddrPort, e ruleset.Element) {
	if e.Slot >= 1<<nat.MaxClass {
		r.junk = append(r.junk, e)
		return
	}
	if len(f.slots) == 0 && len(f.locals) == 0 {
		f.counted = e.Counter
	}
	for uint32(len(*slots)) <= e.Slot {
		*slots = append(*slots, emptySlot)
	}
	(*slots)[e.Slot] = e.Data
	if e.Comment != f.owner || e.Counter != f.counted {
		(*slots)[e.Slot] = staleSlot
	}
}

// Adopt replaces have by what was found in the kernel. The next batches repair
// the difference, which is nothing where nobody interfered.
func (s *State) Adopt(found *ruleset.Snapshot) {
	s.have = *hold(found)
	s.touched, s.early, s.late = newQueue[inet.Addr](), newQueue[ruleset.Element](), newQueue[ruleset.Element]()
	s.idle, s.program = map[string]struct{}{}, true
	for key := range s.want {
		s.touch(key)
	}
	for key := range s.have.frontends {
		s.touch(key)
	}
	for e := range s.members {
		s.touchMember(e)
	}
	for e := range s.have.members {
		s.touchMember(e)
	}
	slices.SortFunc(s.touched.order, inet.Addr.Compare)
	slices.SortFunc(s.early.order, compareMembers)
	slices.SortFunc(s.late.order, compareMembers)
	for name := range s.have.chains {
		s.idle[name] = struct{}{}
	}
}
