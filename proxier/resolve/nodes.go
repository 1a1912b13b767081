// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"net/netip"
	"slices"

	"fairlead/internal/flannel"
	"fairlead/nat"
	"fairlead/overlay"
	"fairlead/proxier/objects"
)

// OverlaySelf returns this node as its own overlay knows it. The MACs of its
// devices stay those that flannel has given and published to peers. The addresses are
// the node's own: that which flannel tells to peers may be in front of a NAT.
func (c *Config) OverlaySelf(n *objects.Node) overlay.Node {
	out := overlay.Node{Name: n.Name, Created: n.Created, PodCIDRs: n.PodCIDRs, Underlay: n.Underlay}
	if l := c.lease(n); l != nil {
		out.VTEPs = [2]overlay.MAC{l.MACs[0], l.MACs[1]}
	}
	return out
}

// Peer returns another node as peers reach it.
func (c *Config) Peer(n *objects.Node) overlay.Node {
	out := c.OverlaySelf(n)
	out.Underlay = c.underlay(n)
	return out
}

func (c *Config) lease(n *objects.Node) *flannel.Lease {
	if !c.FlannelCompat {
		return nil
	}
	return n.Flannel
}

// underlay returns the addresses by which peers reach a node, and its own: behind
// a NAT it may send from either. The first of each family counts for the overlay.
func (c *Config) underlay(n *objects.Node) []netip.Addr {
	l := c.lease(n)
	if l == nil {
		return n.Underlay
	}
	var out []netip.Addr
	for f := range l.Public {
		if a := l.Address(f); a.IsValid() {
			out = append(out, a)
		}
	}
	for _, a := range n.Underlay {
		out = objects.AppendNew(out, a)
	}
	return out
}

// tunnels reports whether packets to other nodes' pods travel inside others.
func (c *Config) tunnels() bool {
	return c.Overlay != nil && (c.Overlay.Mode == overlay.VXLAN || c.Overlay.Mode == overlay.Direct)
}

// tunnelGuard returns what the table has to know of the overlay. own are the
// addresses by which this node sends tunnel packets, besides those of its Node.
func tunnelGuard(cfg *Config, node *objects.Node, own []netip.Addr) nat.Tunnels {
	if !cfg.tunnels() {
		return nat.Tunnels{}
	}
	out := nat.Tunnels{Port: cfg.Overlay.WithDefaults().Port, PodInterfaces: cfg.PodInterfaces,
		ReplyMark: cfg.Overlay.WithDefaults().ReplyMark, KeepSource: !cfg.FlannelCompat,
	}
	if node != nil {
		out.Addrs = slices.Clone(node.Underlay)
	}
	for _, a := range own {
		out.Addrs = objects.AppendNew(out.Addrs, a)
	}
	return out
}

// eachNodeAddr calls f for the addresses of a node that the table needs. It may repeat one.
// Tunnel packets may come from any address of a node: a NAT in front of it may translate
// what it sends to its ExternalIP.
func (c *Config) eachNodeAddr(n *objects.Node, f func(netip.Addr)) {
	if c.tunnels() {
		for _, a := range c.underlay(n) {
			f(a)
		}
	}
	if c.tunnels() || c.Masquerade && c.KeepNodes {
		for _, a := range n.Addresses {
			f(a)
		}
	}
}
