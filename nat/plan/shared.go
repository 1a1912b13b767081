// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"net/netip"
	"slices"

	"fairlead/internal/inet"
	"fairlead/nat"
	"fairlead/nat/ruleset"
)

// SetNodes makes ips the addresses of the overlay's tunnels on all nodes, this
// one included. It compares all of them and writes the difference.
func (s *State) SetNodes(ips []netip.Addr) {
	ips = slices.SortedFunc(slices.Values(ips), netip.Addr.Compare)
	ips = slices.Compact(ips)
	s.share(nodeElements(s.nodes), nodeElements(ips))
	s.nodes = ips
}

func nodeElements(ips []netip.Addr) []ruleset.Element {
	var out []ruleset.Element
	for _, ip := range ips {
		if ip.IsValid() {
			out = append(out, hostElement(ruleset.Nodes, ip))
		}
	}
	return out
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
