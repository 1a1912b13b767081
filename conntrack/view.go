// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package conntrack

import (
	"net/netip"
	"slices"

	"fairlead/internal/inet"
)

// Flow is what matters of a conntrack entry: what the client dialled, and who
// answers.
type Flow struct {
	Client   netip.AddrPort // source of the original direction
	Dialled  inet.Addr      // destination of the original direction
	Answerer netip.AddrPort // source of the reply direction
}

// View knows the UDP frontends that exist and those that existed, and tells
// which flows are stale. Not safe for concurrent use.
type View struct {
	serving map[inet.Addr][]netip.AddrPort
	// removed holds the backends of frontends that are gone.
	removed map[inet.Addr][]netip.AddrPort
	// local reports whether an address is this node's: what NodePorts need.
	local func(netip.Addr) bool
}

// NewView returns a View without frontends. local reports whether an address is
// one of this node's.
func NewView(local func(netip.Addr) bool) *View {
	return &View{serving: map[inet.Addr][]netip.AddrPort{}, removed: map[inet.Addr][]netip.AddrPort{}, local: local}
}

// Set tells which backends of a frontend serve, those that are terminating
// included, whatever the traffic policy: none of their flows is stale. It
// reports whether some flow may have become stale.
func (v *View) Set(frontend inet.Addr, serving []netip.AddrPort) bool {
	old, known := v.serving[frontend]
	if known && slices.Equal(old, serving) {
		return false
	}
	v.serving[frontend] = serving
	delete(v.removed, frontend) // a live frontend decides about its own flows
	if !known || len(old) == 0 {
		return true // flows that found nobody, or somebody else, at the address
	}
	return slices.ContainsFunc(old, func(b netip.AddrPort) bool { return !slices.Contains(serving, b) })
}

// Delete takes a frontend out. Flows to the backends it had are stale, until
// Forget. It reports whether there may be any.
func (v *View) Delete(frontend inet.Addr) bool {
	old, known := v.serving[frontend]
	delete(v.serving, frontend)
	if !known || len(old) == 0 {
		return false
	}
	v.removed[frontend] = append(slices.Clone(v.removed[frontend]), old...)
	return true
}

// Forget drops what is known of a removed frontend, once its flows are gone.
func (v *View) Forget(frontend inet.Addr) { delete(v.removed, frontend) }

// Stale reports whether packets of the flow go where they should not.
func (v *View) Stale(f Flow) bool {
	if f.Dialled.Proto != inet.UDP {
		return false
	}
	if serving, ok := v.find(f.Dialled, v.serving); ok {
		// Whoever was never translated answers for the address itself.
		return !slices.Contains(serving, f.Answerer)
	}
	gone, ok := v.find(f.Dialled, v.removed)
	return ok && slices.Contains(gone, f.Answerer)
}

// find looks for a VIP, then for a NodePort on one of this node's addresses.
func (v *View) find(a inet.Addr, in map[inet.Addr][]netip.AddrPort) ([]netip.AddrPort, bool) {
	if list, ok := in[a]; ok {
		return list, true
	}
	node := inet.Addr{IP: netip.IPv4Unspecified(), Port: a.Port, Proto: a.Proto}
	if a.IP.Is6() {
		node.IP = netip.IPv6Unspecified()
	}
	list, ok := in[node]
	return list, ok && v.local(a.IP)
}
