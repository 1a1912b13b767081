// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nat

import (
	"net/netip"
	"slices"

	"fairlead/internal/inet"
)

// HostPort is a port of this node that one pod on it answers. It is a value.
type HostPort struct {
	// Addr is what is dialled; an unspecified IP stands for every address of
	// this node of that family. Loopback is never served: after DNAT the packet
	// would leave the node with a loopback source, which is a martian.
	Addr inet.Addr
	Pod  netip.AddrPort // of the same family
	// Owner is the comment on the element: "namespace/pod".
	Owner string
}

// SetNodes makes ips the addresses of the overlay's tunnels on all nodes, this
// one included. It costs a comparison of all and a write of the difference.
func (s *State) SetNodes(ips []netip.Addr) {
	ips = slices.SortedFunc(slices.Values(ips), netip.Addr.Compare)
	ips = slices.Compact(ips)
	s.share(nodeElements(s.nodes), nodeElements(ips))
	s.nodes = ips
}

func nodeElements(ips []netip.Addr) []element {
	var out []element
	for _, ip := range ips {
		if ip.IsValid() {
			out = append(out, hostElement(kNodes, ip))
		}
	}
	return out
}

// SetHostPorts makes ports the host ports of this node. Of two with one Addr the
// first counts. Frontends come before host ports, NodePorts too.
func (s *State) SetHostPorts(ports []HostPort) {
	ports = slices.Clone(ports)
	s.share(hostPortElements(s.ports), hostPortElements(ports))
	s.ports = ports
}

// hostPortElements has a hairpin element for each pod, too, so that it can dial
// itself.
func hostPortElements(ports []HostPort) []element {
	var out []element
	seen := map[inet.Addr]bool{}
	for _, p := range ports {
		fam := inet.FamilyOf(p.Addr.IP)
		if seen[p.Addr] || p.Addr.IP.IsLoopback() || inet.FamilyOf(p.Pod.Addr()) != fam {
			continue
		}
		seen[p.Addr] = true
		set := setID{kHostIPPorts, fam}
		if p.Addr.IsNodePort() {
			set.kind = kHostPorts
		}
		out = append(out, element{set: set, key: p.Addr, data: p.Pod, comment: comment(p.Owner)}, hairpinElement(p.Pod.Addr()))
	}
	return out
}

// share replaces wanted elements. What goes is touched first, as a replaced
// element has to be deleted before its successor is added.
func (s *State) share(old, now []element) {
	if slices.Equal(old, now) {
		return
	}
	left := make(map[element]int, len(now)) // of now, without what was there
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
