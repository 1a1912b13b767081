// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"net/netip"

	"fairlead/internal/inet"
)

// setLocal decides for each family by which address the node sends, and notes what
// stands in the way.
func (p *Planner) setLocal() {
	for _, f := range inet.Families() {
		node := p.self.Address(f)
		if a := p.cfg.Uplink.Addresses[f]; a.IsValid() {
			node = a
		}
		if !node.IsValid() {
			continue
		}
		p.own[f] = p.local(f, node)
	}
}

// local returns the address by which the node sends, or one that is not valid if
// what was selected is not there.
func (p *Planner) local(f inet.Family, node netip.Addr) netip.Addr {
	u := &p.cfg.Uplink
	if a := u.Addresses[f]; a.IsValid() {
		if l, _ := p.net.Bearing(a); l != nil {
			return a
		}
	}
	if u.Selects() {
		a := p.selected(f, node)
		if !a.IsValid() {
			p.add(p.self.Name, fieldUnderlay, "no interface with an %s address matches %s: the node's tunnels over %s wait for one", f, u, f)
		}
		return a
	}
	if l, _ := p.net.Bearing(node); l != nil {
		return node
	}
	if l := p.net.Egress(node); l != nil {
		if a := l.address(f, netip.Addr{}); a.IsValid() {
			return a
		}
	}
	p.add(p.self.Name, fieldUnderlay, "no interface has %s, and none with a default route has another %s address: nothing can be sent to other nodes", node, f)
	return node
}

// selected returns the address that the first pattern with a match selects. It
// prefers the node's own, and exact names to patterns.
func (p *Planner) selected(f inet.Family, node netip.Addr) netip.Addr {
	for _, s := range p.cfg.Uplink.Interfaces {
		if a := p.selectedBy(s, f, node); a.IsValid() {
			return a
		}
	}
	if r := p.net.Toward; p.cfg.Uplink.CanReach.IsValid() && r != "" {
		for i := range p.net.Links {
			if l := &p.net.Links[i]; l.Name == r {
				return l.address(f, node)
			}
		}
	}
	return netip.Addr{}
}

// selectedBy returns the address that one pattern selects: an interface of that
// name first, then one whose name or address matches.
func (p *Planner) selectedBy(text string, f inet.Family, node netip.Addr) netip.Addr {
	pat, err := parsePattern(text)
	if err != nil {
		return netip.Addr{} // Validate reports it
	}
	for _, exact := range [2]bool{true, false} {
		for i := range p.net.Links {
			l := &p.net.Links[i]
			var a netip.Addr
			if l.Name == text || !exact && pat.name(l.Name) {
				a = l.address(f, node)
			} else if !exact {
				a = l.matching(f, &pat)
			}
			if a.IsValid() {
				return a
			}
		}
	}
	return netip.Addr{}
}

// address returns the preferred address if the link has it, else its first of a
// family that other hosts can send to.
func (l *Link) address(f inet.Family, preferred netip.Addr) netip.Addr {
	var first netip.Addr
	for _, p := range l.Addrs {
		a := p.Addr()
		if a == preferred {
			return a
		}
		if !first.IsValid() && usable(f, a) {
			first = a
		}
	}
	return first
}

// matching returns the link's first address of a family that a pattern matches.
func (l *Link) matching(f inet.Family, pat *pattern) netip.Addr {
	for _, p := range l.Addrs {
		if a := p.Addr(); usable(f, a) && pat.address(a) {
			return a
		}
	}
	return netip.Addr{}
}

func usable(f inet.Family, a netip.Addr) bool {
	return inet.FamilyOf(a) == f && a.IsGlobalUnicast() // link-local and loopback are not
}
