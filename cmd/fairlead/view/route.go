// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package view

import (
	"net/netip"
)

// Way is a packet that needs a route.
type Way struct {
	Src, Dst netip.Addr // Src may be invalid: the kernel chooses it
	IIF      string     // "" for a packet of this node
	Mark     uint32
}

// Route returns the route that the kernel uses for a packet: the longest prefix with the
// lowest metric in the first routing table that has one, by the order of the rules. It
// returns false if there is none. It ignores the type of service and user ranges.
func (n *Network) Route(w Way) (Route, bool) {
	route, _, ok := n.chosen(w)
	return route, ok
}

// chosen is Route with the rule whose routing table has the route.
func (n *Network) chosen(w Way) (Route, *Rule, bool) {
	for i := range n.Rules {
		r := &n.Rules[i]
		if r.IPv6 != w.Dst.Is6() || !r.matches(&w) {
			continue
		}
		if route, ok := n.inTable(r.Table, w.Dst); ok && route.Type != "throw" {
			return route, r, true
		}
	}
	return Route{}, nil, false
}

func (r *Rule) matches(w *Way) bool {
	iif := w.IIF
	if iif == "" {
		iif = "lo"
	}
	ok := (!r.Src.IsValid() || w.Src.IsValid() && r.Src.Contains(w.Src)) &&
		(!r.Dst.IsValid() || r.Dst.Contains(w.Dst)) &&
		(r.IIF == "" || r.IIF == iif) && r.OIF == "" &&
		(r.Mark == 0 && r.Mask == 0 || w.Mark&r.mask() == r.Mark)
	return ok != r.Invert
}

func (r *Rule) mask() uint32 {
	if r.Mask == 0 {
		return 0xffffffff
	}
	return r.Mask
}

func (n *Network) inTable(table int, dst netip.Addr) (Route, bool) {
	best := -1
	for i := range n.Routes {
		r := &n.Routes[i]
		if r.Table != table || !r.Dst.Contains(dst) {
			continue
		}
		if best < 0 || r.Dst.Bits() > n.Routes[best].Dst.Bits() ||
			r.Dst.Bits() == n.Routes[best].Dst.Bits() && r.Metric < n.Routes[best].Metric {
			best = i
		}
	}
	if best < 0 {
		return Route{}, false
	}
	return n.Routes[best], true
}

// Device returns the device of a route, of several the first one.
func (r *Route) Device() string {
	if r.Link == "" && len(r.Hops) > 0 {
		return r.Hops[0].Link
	}
	return r.Link
}

// IsLocal reports whether an address belongs to this node, as the kernel's routing tables
// say. It is true of 127.0.0.0/8.
func (n *Network) IsLocal(ip netip.Addr) bool {
	r, ok := n.inTable(tableLocal, ip)
	return ok && r.Type == "local"
}

const tableLocal = 255 // RT_TABLE_LOCAL

// SourceOf returns the address that the kernel gives to packets of this node on a route.
func (n *Network) SourceOf(r Route, dst netip.Addr) netip.Addr {
	if r.Source.IsValid() {
		return r.Source
	}
	if r.Type == "local" {
		return dst
	}
	link := n.LinkNamed(r.Device())
	if link == nil {
		return netip.Addr{}
	}
	next := r.Gateway
	if !next.IsValid() {
		next = dst
	}
	var first netip.Addr
	for _, p := range link.Addrs {
		a := p.Addr()
		if a.Is4() != dst.Is4() || a.Is6() && a.IsLinkLocalUnicast() != dst.IsLinkLocalUnicast() {
			continue
		}
		if p.Contains(next) {
			return a
		}
		if !first.IsValid() {
			first = a
		}
	}
	if first.IsValid() {
		return first
	}
	for i := range n.Links { // of any device, as for a device without an address
		for _, p := range n.Links[i].Addrs {
			a := p.Addr()
			if a.Is4() == dst.Is4() && !a.IsLoopback() && !a.IsLinkLocalUnicast() {
				return a
			}
		}
	}
	return netip.Addr{}
}

// MTUOf returns the largest packet that fits a route, 0 if it is not known.
func (n *Network) MTUOf(r Route) int {
	if r.MTU > 0 {
		return r.MTU
	}
	if link := n.LinkNamed(r.Device()); link != nil {
		return link.MTU
	}
	return 0
}

// Tunnel returns the address of the node at the other end of a route through a VXLAN
// device: the forwarding database says where packets to the gateway's MAC go.
func (n *Network) Tunnel(r Route) (remote netip.Addr, ok bool) {
	link := n.LinkNamed(r.Device())
	if link == nil || link.VXLAN == nil {
		return netip.Addr{}, false
	}
	mac := ""
	for i := range n.Neighbours {
		if nb := &n.Neighbours[i]; nb.Link == link.Name && !nb.FDB && nb.IP == r.Gateway {
			mac = nb.MAC
		}
	}
	for i := range n.Neighbours {
		if nb := &n.Neighbours[i]; nb.Link == link.Name && nb.FDB && nb.MAC == mac && mac != "" && nb.IP.IsValid() {
			return nb.IP, true
		}
	}
	return netip.Addr{}, true
}

// AddrOn returns the address that masquerade gives to packets which leave by a device for
// the next host: one of the same subnet, or else the first of the family.
func (n *Network) AddrOn(device string, next netip.Addr) netip.Addr {
	return n.SourceOf(Route{Link: device, Gateway: next, Type: "unicast"}, next)
}
