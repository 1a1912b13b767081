// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"maps"
	"net/netip"
	"slices"

	"fairlead/internal/inet"
	"fairlead/nat"
	"fairlead/proxier/objects"
)

// gateways finds the address that is routed to the pods of the node which has an address by which
// nodes reach each other.
type gateways struct {
	claims  map[netip.Addr][]*objects.Node // the other nodes with an address
	own     map[netip.Addr]int             // how often an address is one of this node
	changed map[netip.Addr]struct{}        // since the last take
}

func newGateways() gateways {
	return gateways{claims: map[netip.Addr][]*objects.Node{}, own: map[netip.Addr]int{}, changed: map[netip.Addr]struct{}{}}
}

// replace replaces another node. A nil one is none.
func (g *gateways) replace(old, n *objects.Node) {
	if old != nil {
		for _, a := range old.Underlay {
			g.changed[a] = struct{}{}
			if g.claims[a] = slices.DeleteFunc(g.claims[a], func(o *objects.Node) bool { return o == old }); len(g.claims[a]) == 0 {
				delete(g.claims, a)
			}
		}
	}
	if n != nil {
		for _, a := range n.Underlay {
			g.changed[a] = struct{}{}
			g.claims[a] = append(g.claims[a], n)
		}
	}
}

// replaceOwn replaces addresses of this node.
func (g *gateways) replaceOwn(old, now []netip.Addr) {
	for _, a := range old {
		g.changed[a] = struct{}{}
		countIn(g.own, a, -1)
	}
	for _, a := range now {
		g.changed[a] = struct{}{}
		countIn(g.own, a, +1)
	}
}

// take returns the gateways of the addresses that changed, sorted.
func (g *gateways) take() []nat.Gateway {
	if len(g.changed) == 0 {
		return nil
	}
	var out []nat.Gateway
	for _, a := range slices.SortedFunc(maps.Keys(g.changed), netip.Addr.Compare) {
		out = append(out, nat.Gateway{Node: a, Address: g.of(a)})
	}
	clear(g.changed)
	return out
}

// of returns no gateway for an address of this node. Of several nodes the newest counts, as it does
// for the overlay (overlay.NewPlan).
func (g *gateways) of(a netip.Addr) (via netip.Addr) {
	if g.own[a] > 0 {
		return netip.Addr{}
	}
	var newest *objects.Node
	for _, n := range g.claims[a] {
		first := firstOfPods(n, inet.FamilyOf(a))
		if first.IsValid() && (newest == nil || isNewer(n, newest)) {
			newest, via = n, first
		}
	}
	return via
}

func isNewer(a, b *objects.Node) bool {
	if c := a.Created.Compare(b.Created); c != 0 {
		return c > 0
	}
	return a.Name < b.Name
}

// firstOfPods returns the first address of a node's pod CIDR, which no pod gets: the VTEP has it.
func firstOfPods(n *objects.Node, f inet.Family) netip.Addr {
	for _, cidr := range n.PodCIDRs {
		if cidr.IsValid() && inet.FamilyOf(cidr.Addr()) == f {
			return cidr.Masked().Addr()
		}
	}
	return netip.Addr{}
}
