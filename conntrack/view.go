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
// netip.AddrPort.Compare.
type Backends struct {
	// Serving are the endpoints that answer, including those that terminate,
	// whatever the traffic policy. A UDP flow or an opening connection to any
	// other address is stale.
	Serving []netip.AddrPort
	// Existing are all endpoints, whatever their conditions. They matter only to
	// established TCP connections, and only if those are to be ended.
	Existing []netip.AddrPort
}

// held are the Backends of a frontend, packed, because a View knows all endpoints of a
// cluster.
type held struct{ serving, existing inet.AddrPorts }

func hold(b *Backends) held {
	return held{packed(b.Serving), packed(b.Existing)}
}

func packed(list []netip.AddrPort) inet.AddrPorts {
	list = sorted(list)
	return inet.PackAddrPorts(len(list), func(i int) netip.AddrPort { return list[i] })
}

// has reports whether ap exists for an established connection, and serves for any other
// flow.
func (h *held) has(established bool, ap netip.AddrPort) bool {
	if established {
		return h.existing.Has(ap)
	}
	return h.serving.Has(ap)
}

// all returns every endpoint once, sorted.
func (h *held) all() []netip.AddrPort { return union(h.serving.List(), h.existing.List()) }

// View knows the frontends that exist and those that were removed, and tells
// which flows are stale. Its methods must not be called concurrently.
type View struct {
	frontends map[inet.Addr]held
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
		frontends: map[inet.Addr]held{}, removed: map[inet.Addr][]netip.AddrPort{},
		local: local, endEstablished: endEstablished,
	}
}

// Set replaces the endpoints of a frontend, and reports whether flows may have
// become stale. It takes time linear in the number of endpoints.
func (v *View) Set(frontend inet.Addr, b Backends) bool {
	if !v.endEstablished || frontend.Proto != inet.TCP {
		b.Existing = nil
	}
	now := hold(&b)
	old, known := v.frontends[frontend]
	v.frontends[frontend] = now
	delete(v.removed, frontend) // An existing frontend decides about its own flows.
	if !known {
		return true // Flows to this address were not translated, or by another program.
	}
	if old.serving.Len() == 0 && now.serving.Len() > 0 {
		return true
	}
	return lacks(now.serving, old.serving) || lacks(now.existing, old.existing)
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

// sorted returns list, or a sorted copy if it is not sorted.
func sorted(list []netip.AddrPort) []netip.AddrPort {
	if slices.IsSortedFunc(list, netip.AddrPort.Compare) {
		return list
	}
	list = slices.Clone(list)
	slices.SortFunc(list, netip.AddrPort.Compare)
	return list
}

// lacks reports whether list lacks a member of old. Both are sorted.
func lacks(list, old inet.AddrPorts) bool {
	i := 0
	for j := range old.Len() {
		ap := old.At(j)
		for i < list.Len() && list.At(i).Compare(ap) < 0 {
			i++
		}
		if i == list.Len() || list.At(i) != ap {
			return true
		}
	}
	return false
}

// union returns the members of two sorted lists, sorted, each once.
func union(a, b []netip.AddrPort) []netip.AddrPort {
	out := slices.Concat(a, b)
	slices.SortFunc(out, netip.AddrPort.Compare)
	return slices.Compact(out)
}
