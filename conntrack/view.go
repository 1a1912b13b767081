// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package conntrack

import (
	"net/netip"
	"slices"
	"time"

	"fairlead/internal/inet"
)

// Flow is the part of a conntrack entry that decides whether it is stale.
type Flow struct {
	Client   netip.AddrPort // source of the original direction
	Dialled  inet.Addr      // destination of the original direction
	Answerer netip.AddrPort // source of the reply direction
	// Opening is set for a TCP or SCTP flow that is not established: nobody has
	// answered, or the answer was a refusal.
	Opening bool
}

// entry is a Flow with what decides whether it may have missed masquerade.
type entry struct {
	Flow
	unanswered bool
	kept       bool          // the client's address and port are not translated
	left       time.Duration // until the kernel forgets it, unless the client sends again
}

// translated reports whether the destination was translated.
func (f *Flow) translated() bool { return f.Answerer != f.Dialled.AddrPort() }

// Backends are the endpoints behind one frontend. Both lists are sorted by
// netip.AddrPort.Compare. A View knows all endpoints of a cluster, in the memory of its caller.
type Backends struct {
	// Serving are the endpoints that answer, including those that terminate,
	// whatever the traffic policy. A UDP flow or an opening connection to any
	// other address is stale.
	Serving inet.AddrPorts
	// Existing are all endpoints, whatever their conditions. They matter only to
	// established TCP connections, and only if those are to be ended.
	Existing inet.AddrPorts
}

// has reports whether ap exists for an established connection, and serves for any other
// flow.
func (b *Backends) has(established bool, ap netip.AddrPort) bool {
	if established {
		return b.Existing.Has(ap)
	}
	return b.Serving.Has(ap)
}

// all returns every endpoint once, sorted.
func (b *Backends) all() []netip.AddrPort { return union(b.Serving.List(), b.Existing.List()) }

// View knows the frontends that exist and those that were removed, and tells
// which flows are stale. Its methods must not be called concurrently.
type View struct {
	frontends map[inet.Addr]Backends
	// removed holds the endpoints of removed frontends, sorted, until Purge.
	removed map[inet.Addr][]netip.AddrPort
	// local reports whether an address is this node's, for NodePorts.
	local func(netip.Addr) bool
	// endEstablished makes established TCP connections to removed endpoints stale.
	endEstablished bool
}

// NewView returns a View without frontends. local reports whether an address is
// one of this node's. endEstablished makes established TCP connections to
// removed endpoints stale.
func NewView(local func(netip.Addr) bool, endEstablished bool) *View {
	return &View{
		frontends: map[inet.Addr]Backends{}, removed: map[inet.Addr][]netip.AddrPort{},
		local: local, endEstablished: endEstablished,
	}
}

// Set replaces the endpoints of a frontend, and reports whether flows may have
// become stale. It takes time linear in the number of endpoints, a few ns for each
// that stays.
func (v *View) Set(frontend inet.Addr, b Backends) bool {
	if !v.endEstablished || frontend.Proto != inet.TCP {
		b.Existing = inet.AddrPorts{}
	}
	old, known := v.frontends[frontend]
	v.frontends[frontend] = b
	delete(v.removed, frontend) // An existing frontend decides about its own flows.
	if !known {
		return true // Flows to this address were not translated, or by another program.
	}
	if old.Serving.Len() == 0 && b.Serving.Len() > 0 {
		return true
	}
	return lacks(b.Serving, old.Serving) || lacks(b.Existing, old.Existing)
}

// Delete removes a frontend and reports whether flows may have become stale.
// Flows to the endpoints that it had are stale until Purge.
func (v *View) Delete(frontend inet.Addr) bool {
	old, known := v.frontends[frontend]
	delete(v.frontends, frontend)
	gone := old.all()
	if !known || len(gone) == 0 {
		return false
	}
	v.removed[frontend] = union(v.removed[frontend], gone)
	return true
}

// Purge drops the endpoints of a removed frontend. Call it when no flow to them
// is left.
func (v *View) Purge(frontend inet.Addr) { delete(v.removed, frontend) }

// Stale reports whether the flow's packets go where they should not: to an
// endpoint that the dialled frontend does not have, or untranslated to the
// frontend's own address.
func (v *View) Stale(f Flow) bool {
	established := f.Dialled.Proto != inet.UDP && !f.Opening
	if established && (!v.endEstablished || f.Dialled.Proto != inet.TCP || !f.translated()) {
		return false
	}
	if b, ok := find(v, f.Dialled, v.frontends); ok {
		return !b.has(established, f.Answerer)
	}
	gone, ok := find(v, f.Dialled, v.removed)
	return ok && contains(gone, f.Answerer)
}

// find looks for a VIP, then for a NodePort on one of this node's addresses.
func find[T any](v *View, a inet.Addr, in map[inet.Addr]T) (T, bool) {
	if found, ok := in[a]; ok {
		return found, true
	}
	node := inet.Addr{IP: netip.IPv4Unspecified(), Port: a.Port, Proto: a.Proto}
	if a.IP.Is6() {
		node.IP = netip.IPv6Unspecified()
	}
	found, ok := in[node]
	return found, ok && v.local(a.IP)
}

func contains(list []netip.AddrPort, ap netip.AddrPort) bool {
	_, ok := slices.BinarySearchFunc(list, ap, netip.AddrPort.Compare)
	return ok
}

// lacks reports whether list lacks a member of old. Both are sorted.
func lacks(list, old inet.AddrPorts) bool {
	for i, j := 0, 0; ; {
		same := list.Common(i, old, j)
		if i, j = i+same, j+same; j == old.Len() {
			return false
		}
		switch {
		case i < list.Len() && list.At(i).Compare(old.At(j)) < 0:
			i++
		case i < list.Len() && list.At(i) == old.At(j) || i > 0 && list.At(i-1) == old.At(j):
			j++ // in a record of another size, or once more
		default:
			return true
		}
	}
}

// union returns the members of two sorted lists, sorted, each once.
func union(a, b []netip.AddrPort) []netip.AddrPort {
	out := slices.Concat(a, b)
	slices.SortFunc(out, netip.AddrPort.Compare)
	return slices.Compact(out)
}
