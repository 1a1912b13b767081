// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"fmt"
	"net/netip"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"fairlead/internal/inet"
	"fairlead/nat"
	"fairlead/proxier/objects"
)

// Claim is a Service's wish for one frontend.
type Claim struct {
	key      inet.Addr
	Frontend nat.Frontend
	use      use
	fallback *Fallback // why topology hints were not followed; nil where they were, or are none
	// Serving are the endpoints that may answer flows, existing all endpoints,
	// whatever their conditions. Both are sorted.
	Serving, Existing inet.AddrPorts
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

// Resolve returns the frontends of a Service on this node: a pure function of the
// Service, its slices and the node. No frontend is claimed twice. A Service that asks for
// more than objects.MaxFrontends or objects.MaxElements gets ClusterIPs first, then
// NodePorts, load balancer addresses and external IPs, and a problem. So does a port with
// more endpoints than a frontend may have, of which the first are used.
func Resolve(svc *objects.Service, list []*objects.Slice, self *Self, pause Pause) ([]Claim, []objects.Problem) {
	if svc == nil {
		return nil, nil
	}
	return claimAll(svc, buildersOf(svc, list, self, pause), pause)
}

// buildersOf returns a builder for each port and family.
func buildersOf(svc *objects.Service, list []*objects.Slice, self *Self, pause Pause) (builders []*builder) {
	for i := range svc.Ports {
		port := &svc.Ports[i]
		for _, v6 := range []bool{false, true} {
			if b := newBuilder(svc, port, v6, list, self, pause); b != nil {
				builders = append(builders, b)
			}
		}
	}
	return builders
}

// claimAll returns the claims that builders make together.
func claimAll(svc *objects.Service, builders []*builder, pause Pause) ([]Claim, []objects.Problem) {
	limit := budget{frontends: objects.MaxFrontends, elements: objects.MaxElements}
	for u := useClusterIP; u <= useExternalIP; u++ {
		for _, b := range builders {
			b.claim(u, &limit)
		}
	}
	var out []Claim
	if len(builders) == 1 {
		out = builders[0].out
	} else {
		for _, b := range builders {
			out = append(out, b.out...)
		}
	}
	return dedup(out, pause), slices.Concat(limit.problems(svc), tooMany(builders))
}

// tooMany returns a problem for each port that has more endpoints than a frontend may have.
func tooMany(builders []*builder) []objects.Problem {
	const most = 1 << nat.MaxClass
	var out []objects.Problem
	for _, b := range builders {
		if n := len(b.cluster); n > most {
			out = append(out, objects.Problem{
				Kind: objects.KindService, Name: b.svc.Key.String(), UID: b.svc.UID, Field: "spec.ports",
				Text: fmt.Sprintf("port %d has %d endpoints, of which the first %d are used", b.port.Port, n, most),
			})
		}
	}
	return out
}

// budget is what a Service may still ask for.
type budget struct {
	frontends, elements int
	left                [useExternalIP + 1]int // frontends that were left out, by use
}

// take reports whether a frontend still fits.
func (l *budget) take(u use, f *nat.Frontend) bool {
	elements := len(f.Backends) + len(f.LocalBackends) + len(f.Sources)
	if l.frontends < 1 || l.elements < elements {
		l.left[u]++
		return false
	}
	l.frontends--
	l.elements -= elements
	return true
}

func (l *budget) problems(svc *objects.Service) []objects.Problem {
	var out []objects.Problem
	for u, n := range l.left {
		if n > 0 {
			out = append(out, objects.Problem{
				Kind: objects.KindService, Name: svc.Key.String(), UID: svc.UID, Field: use(u).field(),
				Text: fmt.Sprintf("%d addresses and ports are not served: a Service has at most %d, with %d endpoints and source ranges in all", n, objects.MaxFrontends, objects.MaxElements),
			})
		}
	}
	return out
}

// Field names where the Service asks for the frontend.
func (c *Claim) Field() string { return c.use.field() }

// field names where a Service asks for a use of an address.
func (u use) field() string {
	return [...]string{"spec.clusterIPs", "spec.ports.nodePort", "status.loadBalancer.ingress", "spec.externalIPs"}[u]
}

// dedup keeps the first of several claims of one Service to one address.
func dedup(in []Claim, pause Pause) []Claim {
	if len(in) < 2 {
		return in
	}
	seen := make(map[inet.Addr]struct{}, len(in))
	return slices.DeleteFunc(in, func(c Claim) bool {
		pause.after(1)
		_, twice := seen[c.key]
		seen[c.key] = struct{}{}
		return twice
	})
}

// builder makes the claims of one port in one family. All of them share its lists.
type builder struct {
	svc    *objects.Service
	port   *objects.ServicePort
	v6     bool
	self   *Self
	pause  Pause
	choice choice
	unique bool // no endpoint occurs twice

	clusterIP         netip.Addr
	cluster, local    []nat.Backend // sorted
	localAddrs        []netip.AddrPort
	serving, existing inet.AddrPorts
	sources           []netip.Prefix
	fallback          *Fallback // of choice

	out []Claim
}

// newBuilder returns nil where the Service does not have the family.
func newBuilder(svc *objects.Service, port *objects.ServicePort, v6 bool, list []*objects.Slice, self *Self, pause Pause) *builder {
	i := slices.IndexFunc(svc.ClusterIPs, func(ip netip.Addr) bool { return ip.Is6() == v6 })
	if i < 0 {
		return nil
	}
	b := &builder{svc: svc, port: port, v6: v6, clusterIP: svc.ClusterIPs[i], self: self, pause: pause}
	var targets []target
	targets, b.unique = endpointsOf(list, port, v6, self, pause)
	b.choice = choose(targets, self, pause)
	if b.choice.fallback != (Fallback{}) {
		b.fallback = new(b.choice.fallback)
	}
	b.cluster = b.backends(b.choice.cluster)
	if svc.InternalLocal {
		b.local = b.backends(b.choice.local)
	}
	if svc.ExternalLocal {
		b.localAddrs = b.addrsOf(b.choice.local)
	}
	b.serving, b.existing = b.flows()
	b.sources = b.sourceRanges()
	return b
}

func (b *builder) ours(ip netip.Addr) bool { return ip.Is6() == b.v6 }

// backends returns endpoints as the table has them. They are in its order already.
func (b *builder) backends(eps []target) []nat.Backend {
	if len(eps) == 0 {
		return nil
	}
	out := make([]nat.Backend, len(eps))
	for i, ep := range eps {
		b.pause.after(1)
		out[i] = nat.BackendAt(ep.backend(), ep.on(b.self))
	}
	return out
}

// costOfClaim is what a claim counts, in elements: it is larger than one.
const costOfClaim = 4

// claim adds the claims of one use, as far as they fit.
func (b *builder) claim(u use, limit *budget) {
	put := func(ip netip.Addr, port uint16, f *nat.Frontend) {
		b.pause.after(1)
		if !limit.take(u, f) {
			return
		}
		b.pause.after(costOfClaim)
		c := Claim{key: inet.Addr{IP: ip, Port: port, Proto: b.port.Proto}, Frontend: *f, use: u, Serving: b.serving, Existing: b.existing}
		if u != useClusterIP || !b.svc.InternalLocal {
			c.fallback = b.fallback
		}
		b.out = append(b.out, c)
	}
	switch u {
	case useClusterIP:
		put(b.clusterIP, b.port.Port, new(b.internal()))
	case useNodePort:
		if b.port.NodePort == 0 {
			return
		}
		every := netip.IPv4Unspecified()
		if b.v6 {
			every = netip.IPv6Unspecified()
		}
		put(every, b.port.NodePort, new(b.external()))
	case useLoadBalancer:
		f := b.loadBalancer()
		for _, ip := range b.svc.LoadBalancerIPs {
			if b.ours(ip) {
				put(ip, b.port.Port, &f)
			}
		}
	case useExternalIP:
		f := b.external()
		for _, ip := range b.svc.ExternalIPs {
			if b.ours(ip) {
				put(ip, b.port.Port, &f)
			}
		}
	}
}

// flows returns the endpoints that may answer flows, and all endpoints if there are
// others.
func (b *builder) flows() (serving, existing inet.AddrPorts) {
	pack := func(eps []target) inet.AddrPorts {
		b.pause.after(len(eps))
		return inet.PackAddrPorts(len(eps), func(i int) netip.AddrPort { return eps[i].backend() })
	}
	serving = pack(b.choice.serving)
	if len(b.choice.existing) == len(b.choice.serving) {
		return serving, serving
	}
	return serving, pack(b.choice.existing)
}

// addrsOf returns the addresses and ports of endpoints, in their order.
func (b *builder) addrsOf(eps []target) []netip.AddrPort {
	out := make([]netip.AddrPort, len(eps))
	for i, t := range eps {
		b.pause.after(1)
		out[i] = t.backend()
	}
	return out
}

// frontend returns what all kinds of frontends of the port have in common.
func (b *builder) frontend(policy nat.TrafficPolicy, to []nat.Backend) nat.Frontend {
	return nat.Frontend{Policy: policy, Affinity: b.svc.Affinity, First: isVital(b.svc.Key), Owner: owner(b.svc.Key, b.port.Name), Backends: to}
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
	f := b.frontend(nat.Internal, b.cluster)
	if b.svc.InternalLocal {
		f = b.frontend(nat.Internal, b.local)
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
		return b.frontend(nat.External, b.cluster)
	}
	f := b.frontend(nat.Local, b.cluster)
	f.LocalBackends = b.localAddrs
	return f
}

// loadBalancer adds the source ranges, which are for these addresses only.
func (b *builder) loadBalancer() nat.Frontend {
	f := b.external()
	f.Restricted, f.Sources = b.svc.Restricted, b.sources
	return f
}

// sourceRanges returns those of the family, and nil for a Service that
// accepts all clients.
func (b *builder) sourceRanges() []netip.Prefix {
	if !b.svc.Restricted {
		return nil
	}
	var out []netip.Prefix
	for _, p := range b.svc.SourceRanges {
		if p.Addr().Is6() == b.v6 {
			out = append(out, p)
		}
	}
	// A node that may dial the address does so with the address itself as
	// source, where a load balancer implementation has added it to a device.
	if slices.ContainsFunc(b.self.Addrs, func(ip netip.Addr) bool { return contains(out, ip) }) {
		for _, vip := range b.svc.LoadBalancerIPs {
			if b.ours(vip) {
				out = append(out, netip.PrefixFrom(vip, vip.BitLen()))
			}
		}
	}
	return out
}

func contains(ps []netip.Prefix, ip netip.Addr) bool {
	return slices.ContainsFunc(ps, func(p netip.Prefix) bool { return p.Contains(ip) })
}
