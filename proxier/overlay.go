// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"cmp"
	"net/netip"

	"fairlead/nat"
	"fairlead/overlay"
)

// Overlay is told which nodes there are; see overlay.Keeper for the contract.
type Overlay interface {
	Set(self overlay.Node, peers []overlay.Node)
}

// tellOverlay passes the nodes on when one of them has changed. Without a Node
// of our own the overlay stays as it is: whoever is not known is not gone.
func (p *Proxier) tellOverlay() {
	if p.overlay == nil || !p.desired.nodes {
		return
	}
	p.desired.nodes = false
	self := p.store.Node(p.desired.cfg.NodeName)
	if self == nil {
		return
	}
	var peers []overlay.Node
	for _, n := range p.store.Nodes() {
		if n.Name != self.Name {
			peers = append(peers, overlayNode(n))
		}
	}
	p.overlay.Set(overlayNode(self), peers)
}

func overlayNode(n *Node) overlay.Node {
	return overlay.Node{Name: n.Name, Created: n.Created, PodCIDRs: n.PodCIDRs, Underlay: n.Underlay}
}

// tunnels reports whether packets to other nodes' pods travel inside others.
func (c *Config) tunnels() bool {
	return c.Overlay != nil && (c.Overlay.Mode == overlay.VXLAN || c.Overlay.Mode == overlay.Direct)
}

// tunnelGuard returns what the table has to know of the overlay.
func tunnelGuard(cfg *Config, node *Node) nat.Overlay {
	if !cfg.tunnels() {
		return nat.Overlay{}
	}
	out := nat.Overlay{Port: cfg.Overlay.WithDefaults().Port, PodInterfaces: cfg.PodInterfaces}
	if node != nil {
		out.Addrs = node.Underlay
	}
	return out
}

// nodeAddrs returns the addresses of all nodes, where the table needs them.
func nodeAddrs(cfg *Config, nodes []*Node) []netip.Addr {
	var out []netip.Addr
	for _, n := range nodes {
		if cfg.tunnels() {
			out = append(out, n.Underlay...)
		}
		if cfg.Masquerade && cfg.KeepNodes {
			out = append(out, n.Addresses...)
		}
	}
	return out
}

// OverlayReport takes over what keeps parts of the overlay of a node from
// working.
func (s *Store) OverlayReport(node string, r *overlay.Report) {
	problems := make([]Problem, len(r.Problems))
	for i, p := range r.Problems {
		problems[i] = Problem{Kind: kindNode, Name: cmp.Or(p.Node, node), Field: p.Field, Text: p.Text}
	}
	s.Update(func(tx *Tx) { tx.SetProblems(kindOverlay, node, problems) })
}
