// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"net/netip"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"fairlead/internal/inet"
	"fairlead/nat"
	"fairlead/proxier/objects"
)

// Self is what a node knows about itself.
type Self struct {
	Name  string
	Zone  string       // empty without a Node object, or without the label
	Addrs []netip.Addr // addresses of the Node object
}

// Claim is a Service's wish for one frontend.
type Claim struct {
	key      inet.Addr
	Frontend nat.Frontend
	Field    string // where the Service says so
	use      use
	fallback Fallback // why topology hints were not followed, where there are any
	// Serving are the endpoints that may answer flows, existing all endpoints,
	// whatever their conditions. Both are sorted.
	Serving, Existing []netip.AddrPort
}

// use orders claims to one address by what it is to the Service: an address
// that the API server allocates goes before one that a user writes down.
type use uint8

const (
	useClusterIP use = iota
	useNodePort
	useLoadBalancer
	useExternalIP
)

// Resolve returns all frontends of a Service on this node: a pure function of
// the Service, its slices and the node. No frontend is claimed twice.
func Resolve(svc *objects.Service, slices []*objects.Slice, self *Self) []Claim {
	if svc == nil {
		return nil
	}
	var out []Claim
	for i := range svc.Ports {
		port := &svc.Ports[i]
		for _, v6 := range []bool{false, true} {
			eps := endpointsOf(slices, port, v6, self)
			b := builder{svc: svc, port: port, v6: v6, self: self, choice: choose(eps, self)}
			out = append(out, b.claims()...)
		}
	}
	return dedup(out)
}

// dedup keeps the first of several claims of one Service to one address.
func dedup(in []Claim) []Claim {
	seen := make(map[inet.Addr]struct{}, len(in))
	return slices.DeleteFunc(in, func(c Claim) bool {
		_, twice := seen[c.key]
		seen[c.key] = struct{}{}
		return twice
	})
}

// builder makes the claims of one port in one family.
type builder struct {
	svc    *objects.Service
	port   *objects.ServicePort
	v6     bool
	self   *Self
	choice choice
}

func (b *builder) claims() []Claim {
	var out []Claim
	ours := func(ip netip.Addr) bool { return ip.Is6() == b.v6 }
	i := slices.IndexFunc(b.svc.ClusterIPs, ours)
	if i < 0 {
		return nil // the Service does not have this family
	}
	serving, existing := b.flows()
	put := func(ip netip.Addr, port uint16, f nat.Frontend, field string, u use) {
		c := Claim{key: inet.Addr{IP: ip, Port: port, Proto: b.port.Proto}, Frontend: f, Field: field, use: u, Serving: serving, Existing: existing}
		if u != useClusterIP || !b.svc.InternalLocal {
			c.fallback = b.choice.fallback
		}
		out = append(out, c)
	}
	put(b.svc.ClusterIPs[i], b.port.Port, b.internal(), "spec.clusterIPs", useClusterIP)
	if b.port.NodePort != 0 {
		every := netip.IPv4Unspecified()
		if b.v6 {
			every = netip.IPv6Unspecified()
		}
		put(every, b.port.NodePort, b.external(), "spec.ports.nodePort", useNodePort)
	}
	for _, ip := range b.svc.LoadBalancerIPs {
		if ours(ip) {
			put(ip, b.port.Port, b.loadBalancer(), "status.loadBalancer.ingress", useLoadBalancer)
		}
	}
	for _, ip := range b.svc.ExternalIPs {
		if ours(ip) {
			put(ip, b.port.Port, b.external(), "spec.externalIPs", useExternalIP)
		}
	}
	return out
}

// flows returns the endpoints that may answer flows, and all endpoints if there are
// others.
func (b *builder) flows() (serving, existing []netip.AddrPort) {
	serving = backends(b.choice.serving)
	if len(b.choice.existing) == len(b.choice.serving) {
		return serving, serving
	}
	return serving, backends(b.choice.existing)
}

// backends returns the addresses and ports of endpoints, sorted.
func backends(eps []target) []netip.AddrPort {
	out := make([]netip.AddrPort, len(eps))
	for i, t := range eps {
		out[i] = t.backend()
	}
	slices.SortFunc(out, netip.AddrPort.Compare)
	return out
}

// frontend returns what all kinds of frontends of the port have in common.
func (b *builder) frontend(policy nat.TrafficPolicy, eps []target) nat.Frontend {
	f := nat.Frontend{Policy: policy, Affinity: b.svc.Affinity, First: isVital(b.svc.Key), Owner: owner(b.svc.Key, b.port.Name)}
	for _, ep := range eps {
		f.Backends = append(f.Backends, nat.Backend{AddrPort: ep.backend(), OnNode: ep.on(b.self)})
	}
	return f
}

// isVital reports whether most other programs of a cluster need a Service before they
// can use any other one: its DNS and its API server.
func isVital(svc types.NamespacedName) bool {
	return svc == types.NamespacedName{Namespace: "default", Name: "kubernetes"} ||
		svc == types.NamespacedName{Namespace: "kube-system", Name: "kube-dns"}
}

// owner names a port of a Service in comments of the table.
func owner(svc types.NamespacedName, port string) string {
	if port == "" {
		return svc.String()
	}
	return svc.String() + ":" + port
}

// internal is the frontend of a ClusterIP.
func (b *builder) internal() nat.Frontend {
	f := b.frontend(nat.Internal, b.choice.cluster)
	if b.svc.InternalLocal {
		f = b.frontend(nat.Internal, b.choice.local)
		if len(f.Backends) == 0 {
			f.Policy = nat.Drop
		}
	}
	if !b.choice.any {
		f.Policy, f.Backends = nat.Reject, nil
	}
	f.Exclusive = true
	return f
}

// external is the frontend of an address that is dialled from outside.
func (b *builder) external() nat.Frontend {
	if !b.choice.any {
		return b.frontend(nat.Reject, nil)
	}
	if !b.svc.ExternalLocal {
		return b.frontend(nat.External, b.choice.cluster)
	}
	f := b.frontend(nat.Local, b.choice.cluster)
	for _, ep := range b.choice.local {
		f.LocalBackends = append(f.LocalBackends, ep.backend())
	}
	return f
}

// loadBalancer adds the source ranges, which are for these addresses only.
func (b *builder) loadBalancer() nat.Frontend {
	f := b.external()
	f.Restricted = b.svc.Restricted
	if !f.Restricted {
		return f
	}
	for _, p := range b.svc.SourceRanges {
		if p.Addr().Is6() == b.v6 {
			f.Sources = append(f.Sources, p)
		}
	}
	// A node that may dial the address does so with the address itself as
	// source, where a load balancer implementation has added it to a device.
	if slices.ContainsFunc(b.self.Addrs, func(ip netip.Addr) bool { return contains(f.Sources, ip) }) {
		for _, vip := range b.svc.LoadBalancerIPs {
			if vip.Is6() == b.v6 {
				f.Sources = append(f.Sources, netip.PrefixFrom(vip, vip.BitLen()))
			}
		}
	}
	return f
}

func contains(ps []netip.Prefix, ip netip.Addr) bool {
	return slices.ContainsFunc(ps, func(p netip.Prefix) bool { return p.Contains(ip) })
}
