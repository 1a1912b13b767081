// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"fmt"
	"net/netip"
	"slices"

	"fairlead/internal/inet"
	"fairlead/proxier/objects"
)

// ClusterFacts is what decides which addresses a Service may have, besides the Service.
type ClusterFacts struct {
	Self   Self
	Zones  map[string]int        // that nodes are in, and how many
	Others map[netip.Addr]string // addresses of other nodes, and their names
	Pods   PrefixSet             // where pods are
	// TunnelPort is the UDP port of the overlay's tunnels, 0 for none.
	TunnelPort uint16
	// TunnelAddrs are the addresses at which nodes may take tunnel packets, and by how many
	// nodes. Some are not in the status of a Node.
	TunnelAddrs map[netip.Addr]int
	// ExternalIPs are the external IPs that Services may have; see Config.
	ExternalIPs []netip.Prefix
}

// PrefixSet finds out whether a prefix contains an address, at a cost that depends on
// the number of different lengths only.
type PrefixSet struct {
	all  map[netip.Prefix]int // how often it was added
	bits []int                // lengths that occur
	of   map[int]int          // how many of all have a length
}

func newPrefixSet(list []netip.Prefix) PrefixSet {
	s := PrefixSet{all: make(map[netip.Prefix]int, len(list)), of: map[int]int{}}
	for _, p := range list {
		s.count(p.Masked(), +1)
	}
	return s
}

// count adds n to the number of times that p was added. It reports whether p came or went.
func (s *PrefixSet) count(p netip.Prefix, n int) bool {
	was, is := countIn(s.all, p, n)
	if was == is {
		return false
	}
	bits := p.Bits()
	if is {
		n = +1
	} else {
		n = -1
	}
	switch had, has := countIn(s.of, bits, n); {
	case !had && has:
		s.bits = append(s.bits, bits)
	case had && !has:
		s.bits = slices.DeleteFunc(s.bits, func(b int) bool { return b == bits })
	}
	return true
}

func (s *PrefixSet) contains(ip netip.Addr) bool {
	for _, bits := range s.bits {
		p, err := ip.Prefix(bits)
		if err != nil {
			continue // the other family
		}
		if _, ok := s.all[p]; ok {
			return true
		}
	}
	return false
}

// node returns the name of the node that has an address.
func (f *ClusterFacts) node(ip netip.Addr) (string, bool) {
	if slices.Contains(f.Self.Addrs, ip) {
		return f.Self.Name, true
	}
	name, ok := f.Others[ip]
	return name, ok
}

// tunnelEnd says of which node an address is at which it takes tunnel packets, or "".
func (f *ClusterFacts) tunnelEnd(ip netip.Addr) string {
	if name, ok := f.node(ip); ok {
		return "an address of Node " + name
	}
	if f.TunnelAddrs[ip] > 0 {
		return "an address by which a Node takes tunnel packets"
	}
	return ""
}

// refuses returns why a Service may not have an address at all, or "".
func (f *ClusterFacts) refuses(ip netip.Addr, u use) string {
	switch {
	case f.Pods.contains(ip):
		return "is in a range of pods"
	case u == useExternalIP && f.ExternalIPs != nil && !contains(f.ExternalIPs, ip):
		return "is not allowed by --external-ip-policy"
	}
	return ""
}

// CheckAddresses returns the Service without the addresses that it may not have, and
// reports them. It also reports external IPs that are addresses of nodes: these are
// served, because clusters without load balancers use them so, but hide ports of the
// node. A load balancer that answers at the nodes' own addresses, as ServiceLB of k3s
// does, is as it should be.
func CheckAddresses(svc *objects.Service, f *ClusterFacts) (*objects.Service, []objects.Problem) {
	r := objects.NewReport(objects.KindService, svc.Key.String())
	r.UID = svc.UID
	out := *svc
	out.LoadBalancerIPs = f.allowed(r, svc.LoadBalancerIPs, useLoadBalancer)
	out.ExternalIPs = f.allowed(r, svc.ExternalIPs, useExternalIP)
	for _, ip := range out.ExternalIPs {
		if name, ok := f.node(ip); ok && len(out.Ports) > 0 && sameFamily(svc.ClusterIPs, ip) {
			r.Add(useExternalIP.field(), "%s is an address of Node %s, whose own ports of these numbers are out of reach", ip, name)
		}
	}
	if len(out.LoadBalancerIPs) == len(svc.LoadBalancerIPs) && len(out.ExternalIPs) == len(svc.ExternalIPs) {
		return svc, r.Problems
	}
	return &out, r.Problems
}

func sameFamily(list []netip.Addr, ip netip.Addr) bool {
	return slices.ContainsFunc(list, func(o netip.Addr) bool { return o.Is4() == ip.Is4() })
}

func (f *ClusterFacts) allowed(r *objects.Report, list []netip.Addr, u use) []netip.Addr {
	var out []netip.Addr
	for _, ip := range list {
		if why := f.refuses(ip, u); why != "" {
			r.Add(u.field(), "%s %s; it is not served", ip, why)
			continue
		}
		out = append(out, ip)
	}
	return out
}

// CheckEndpoints returns the slices without endpoints that would carry packets into the
// overlay: a node's address with the port of the tunnels. Anybody who may write
// EndpointSlices could otherwise inject packets into the network of pods
// (CVE-2021-25737 is of this kind). Other ports of nodes are for Pods on the host's
// network.
func CheckEndpoints(list []*objects.Slice, f *ClusterFacts) ([]*objects.Slice, []objects.Problem) {
	if f.TunnelPort == 0 || !slices.ContainsFunc(list, func(s *objects.Slice) bool { return hasPort(s, f.TunnelPort) }) {
		return list, nil
	}
	var out []*objects.Slice
	var problems []objects.Problem
	for _, s := range list {
		if !hasPort(s, f.TunnelPort) {
			out = append(out, s)
			continue
		}
		r := objects.NewReport(objects.KindSlice, s.Key.String())
		r.UID = s.UID
		tunnel, rest := *s, *s
		tunnel.Ports, tunnel.Endpoints, rest.Ports = nil, nil, nil
		for _, p := range s.Ports {
			if p.Proto == inet.UDP && p.Port == f.TunnelPort {
				tunnel.Ports = append(tunnel.Ports, p)
			} else {
				rest.Ports = append(rest.Ports, p)
			}
		}
		for i := range s.Endpoints {
			if what := f.tunnelEnd(s.Endpoints[i].Addr); what != "" {
				r.Add("endpoints.addresses", "%s is %s and %d/udp the port of its tunnels; it is not served", s.Endpoints[i].Addr, what, f.TunnelPort)
				continue
			}
			tunnel.Endpoints = append(tunnel.Endpoints, s.Endpoints[i])
		}
		out = append(out, &tunnel, &rest)
		problems = append(problems, r.Problems...)
	}
	return out, problems
}

func hasPort(s *objects.Slice, port uint16) bool {
	return slices.ContainsFunc(s.Ports, func(p objects.SlicePort) bool { return p.Proto == inet.UDP && p.Port == port })
}

// describeHostIP returns why a Pod's port may be out of reach at an address.
func describeHostIP(ip netip.Addr, self *Self) string {
	if !ip.IsValid() || ip.IsLoopback() || slices.Contains(self.Addrs, ip) {
		return ""
	}
	return fmt.Sprintf("%s is not an address of this Node; the port is served only where an interface of the node has the address", ip)
}
