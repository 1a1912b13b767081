// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nat

import (
	"net/netip"

	"fairlead/internal/inet"
)

// add notes an element that was found in the kernel. Elements that do not fit
// together, because somebody meddled, are noted as to be replaced or removed.
func (r *Ruleset) add(e element) {
	if e.isMember() {
		r.addMember(e)
		return
	}
	f := r.frontends[e.key]
	if f == nil {
		f = &frontend{owner: e.comment}
		r.frontends[e.key] = f
	}
	switch e.set.kind {
	case kVIPs, kNodePorts:
		r.addVerdict(f, e)
	case kSticky, kNodeSticky:
		if e.comment != f.owner {
			r.junk = append(r.junk, e)
			return
		}
		f.remember = e.verdict
	case kBackends, kNodeBackends:
		r.addSlot(f, &f.slots, e)
	case kLocals, kNodeLocals:
		r.addSlot(f, &f.locals, e)
	case kSources:
		if e.comment != f.owner {
			r.junk = append(r.junk, e)
			return
		}
		f.sources = append(f.sources, e.client)
	}
}

// addMember takes elements that belong to no single frontend.
func (r *Ruleset) addMember(e element) {
	switch e.set.kind {
	case kHostPorts, kHostIPPorts:
	case kClusterIPs:
		e.comment, e.key = "", inet.Addr{IP: e.key.IP}
	default:
		e.comment = ""
	}
	r.members[e] = struct{}{}
}

// addVerdict takes a verdict that is not a shape for what it is, too: it will
// differ from every wanted one and be replaced.
func (r *Ruleset) addVerdict(f *frontend, e element) {
	f.owner = e.comment // VIPs are read first
	f.verdict = e.verdict
	if sh, ok := shapeOfVerdict(e.verdict, e.set.fam, e.key.IsNodePort()); ok {
		f.shape = sh
	}
}

// addSlot takes the backend of a slot. Its number is bounded, or an element
// that somebody added could make us allocate without bound.
func (r *Ruleset) addSlot(f *frontend, slots *[]netip.AddrPort, e element) {
	if e.slot >= 1<<maxClass {
		r.junk = append(r.junk, e)
		return
	}
	if len(f.slots) == 0 && len(f.locals) == 0 {
		f.counted = e.counter
	}
	for uint32(len(*slots)) <= e.slot {
		*slots = append(*slots, hole)
	}
	(*slots)[e.slot] = e.data
	if e.comment != f.owner || e.counter != f.counted {
		(*slots)[e.slot] = unknown
	}
}
