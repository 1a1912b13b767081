// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"net/netip"
	"slices"

	"fairlead/internal/inet"
)

// join plans the ways to the pods of a peer, without ranges that another node owns.
func (p *Planner) join(n *Node) {
	for _, cidr := range p.podCIDRs(n) {
		if p.vtep[inet.FamilyOf(cidr.Addr())].IsValid() { // else no pod here could answer
			p.reach(n, cidr)
		}
	}
}

// attach gives the node the VTEP address of a family: the first one of its pod CIDR,
// which no pod gets.
func (p *Planner) attach(cidr netip.Prefix) {
	f := inet.FamilyOf(cidr.Addr())
	p.vtep[f] = cidr.Addr()
	p.VTEPs = append(p.VTEPs, cidr.Addr())
	if p.cfg.Mode == HostGateway {
		return
	}
	if !p.own[f].IsValid() {
		f = f.Other()
	}
	p.carry(f, cidr.Addr())
}

// reach plans the way to a pod CIDR of a peer.
func (p *Planner) reach(n *Node, cidr netip.Prefix) {
	if p.cfg.Mode != VXLAN {
		f := inet.FamilyOf(cidr.Addr())
		via := n.Address(f)
		if via.IsValid() && p.isOwn(f, n, via) {
			return
		}
		if link := p.net.onLink(p.own[f], via); via.IsValid() && link != nil {
			p.put(Entry{Kind: Route, Device: link.Name, Dst: cidr, Via: via, Metric: metric(f)})
			return
		}
		if p.cfg.Mode == HostGateway {
			p.add(n.Name, fieldUnderlay, "%s is not reached: host-gw needs an %s address in a subnet of this node", cidr, f)
			return
		}
	}
	p.tunnel(n, cidr)
}

// isOwn reports whether the address of a peer is one of this node, as after a node got another
// name. The kernel takes no route by way of it.
func (p *Planner) isOwn(f inet.Family, n *Node, a netip.Addr) bool {
	if a != p.own[f] && !slices.Contains(p.self.Underlay, a) {
		return false
	}
	p.add(n.Name, fieldUnderlay, "%s is this node's own address", a)
	return true
}

// tunnel plans a way through a tunnel. It prefers the underlay of the pods' own family,
// as flannel does.
func (p *Planner) tunnel(n *Node, cidr netip.Prefix) {
	pods := inet.FamilyOf(cidr.Addr())
	for _, f := range [2]inet.Family{pods, pods.Other()} {
		local, remote := p.own[f], n.Address(f)
		if !local.IsValid() || !remote.IsValid() {
			continue
		}
		if p.isOwn(f, n, remote) {
			return
		}
		mac := n.mac(f)
		if mac == p.self.mac(f) || !mac.unicast() {
			p.add(n.Name, fieldMAC, "%s is this node's own, or none that a node can have", mac)
			return
		}
		fdb := Entry{Kind: FDB, Device: p.cfg.device(f), MAC: mac, Via: remote}
		if other, taken := p.Entries[fdb.Key()]; taken && other.Via != remote {
			p.tangle.mix()
			p.add(n.Name, fieldMAC, "%s is also that of the node with address %s", mac, other.Via)
			return
		}
		if !p.carry(f, cidr.Addr()) {
			return
		}
		gateway := gateway(cidr, mac)
		p.put(fdb)
		p.put(Entry{Kind: Neighbour, Device: fdb.Device, Dst: Single(gateway), MAC: mac})
		p.put(Entry{Kind: Route, Device: fdb.Device, Dst: cidr, Via: gateway, OnLink: pods == inet.IPv4, Metric: metric(pods)})
		return
	}
	p.add(n.Name, fieldUnderlay, "%s is not reached: no address of a family that this node has, too", cidr)
}

// gateway returns the address by which this node's routes name a peer. In IPv4 it is
// the peer's VTEP address. In IPv6 it is a link-local address made of the MAC (RFC 4291,
// appendix A), because the kernel refuses one with global scope if any route other than
// the default route covers it (ip6_route_check_nh_onlink).
func gateway(cidr netip.Prefix, mac MAC) netip.Addr {
	if cidr.Addr().Is4() {
		return cidr.Addr()
	}
	return netip.AddrFrom16([16]byte{0xfe, 0x80, 8: mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]})
}

// metric returns the metric that the kernel gives to routes without one.
func metric(f inet.Family) uint32 {
	if f == inet.IPv4 {
		return 0
	}
	return 1024 // IP6_RT_PRIO_USER
}
