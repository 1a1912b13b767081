// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"maps"
	"net/netip"
	"slices"

	"fairlead/internal/inet"
	"fairlead/nat"
	"fairlead/nat/ruleset"
)

// SetNodes makes ips the addresses of the overlay's tunnels on all nodes, this
// one included. It compares all of them and writes the difference.
func (s *State) SetNodes(ips []netip.Addr) {
	left := maps.Clone(s.nodes)
	for _, ip := range ips {
		delete(left, ip)
	}
	s.ChangeNodes(slices.SortedFunc(maps.Keys(left), netip.Addr.Compare), slices.SortedFunc(slices.Values(ips), netip.Addr.Compare))
}

// ChangeNodes removes addresses from those of SetNodes, and adds others. Its cost does not
// depend on the number of nodes.
func (s *State) ChangeNodes(gone, came []netip.Addr) {
	for _, ip := range gone {
		if _, is := s.nodes[ip]; is {
			delete(s.nodes, ip)
			s.countNode(ip, -1)
		}
	}
	for _, ip := range came {
		if _, is := s.nodes[ip]; !is {
			s.nodes[ip] = struct{}{}
			s.countNode(ip, +1)
		}
	}
}

func (s *State) countNode(ip netip.Addr, n int32) {
	if ip.IsValid() {
		s.countMember(hostElement(ruleset.Nodes, ip), n)
	}
}

// ChangeGateways replaces the gateways of some nodes' addresses. Its cost does not depend on
// the number of nodes.
func (s *State) ChangeGateways(changed []nat.Gateway) {
	for _, g := range changed {
		was := s.gateways[g.Node]
		if was == g.Address {
			continue
		}
		if was.IsValid() { // first, because a replaced element has to be deleted before its successor is added
			delete(s.gateways, g.Node)
			s.countMember(gatewayElement(g.Node, was), -1)
		}
		if g.Address.IsValid() {
			s.gateways[g.Node] = g.Address
			s.countMember(gatewayElement(g.Node, g.Address), +1)
		}
	}
}

func gatewayElement(node, via netip.Addr) ruleset.Element {
	return ruleset.Element{Set: ruleset.Set{Kind: ruleset.Gateways, Family: inet.FamilyOf(node)}, Key: inet.Addr{IP: node}, Data: netip.AddrPortFrom(via, 0)}
}

// SetHostPorts makes ports the host ports of this node. Of two with one Addr the
// first counts. All frontends, including NodePorts, take precedence over host ports.
func (s *State) SetHostPorts(ports []nat.HostPort) {
	ports = slices.Clone(ports)
	s.share(hostPortElements(s.ports), hostPortElements(ports))
	s.ports = ports
}

// hostPortElements includes a hairpin element for each pod, so that the pod can dial
// itself.
func hostPortElements(ports []nat.HostPort) []ruleset.Element {
	var out []ruleset.Element
	seen := map[inet.Addr]bool{}
	for _, p := range ports {
		fam := inet.FamilyOf(p.Addr.IP)
		if seen[p.Addr] || inet.FamilyOf(p.Pod.Addr()) != fam {
			continue
		}
		seen[p.Addr] = true
		set := ruleset.Set{Kind: ruleset.HostIPPorts, Family: fam}
		if p.Addr.IsNodePort() {
			set.Kind = ruleset.HostPorts
		}
		out = append(out, ruleset.Element{Set: set, Key: p.Addr, Data: p.Pod, Comment: nat.Comment(p.Owner)}, hairpinElement(p.Pod.Addr()))
	}
	return out
}

// share replaces wanted elements. It touches the removed ones first, because a
// replaced element has to be deleted before its successor is added.
func (s *State) share(old, now []ruleset.Element) {
	if slices.Equal(old, now) {
		return
	}
	left := make(map[ruleset.Element]int, len(now)) // of now, without what was there
	for _, e := range now {
		left[e]++
	}
	for _, e := range old {
		if left[e]--; left[e] < 0 {
			left[e] = 0
			s.countMember(e, -1)
		}
	}
	for _, e := range now {
		if left[e] > 0 {
			left[e]--
			s.countMember(e, +1)
		}
	}
}
