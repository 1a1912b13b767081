// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"fairlead/internal/inet"
	"fairlead/nat"
	"fairlead/proxier/objects"
)

// Explanation is what Resolve decided about a Service on this node, and why.
type Explanation struct {
	Service  *objects.Service // without the addresses that it may not have
	Ports    []PortExplanation
	Claims   []Claim
	Problems []objects.Problem
}

// PortExplanation is about one port of a Service in one family.
type PortExplanation struct {
	Port   objects.ServicePort
	Family inet.Family
	// Endpoints are all endpoints of all slices of the Service, in their order, whether
	// this port uses them or not.
	Endpoints []EndpointUse
	Fallback  Fallback // why topology hints were not followed
	// Any is set when some node has an endpoint that could take a connection. Without
	// one, connections are rejected.
	Any bool
}

// EndpointUse says what became of one endpoint.
type EndpointUse struct {
	Slice      types.NamespacedName
	Addr       netip.Addr
	Port       uint16 // 0 if the slice does not have the port
	Node, Zone string
	Here       bool // on this node
	// Unused says why no client gets the endpoint, NotLocal why clients that policy
	// Local confines to this node do not. The zero value is that they do.
	Unused, NotLocal Reason
}

// Reason is why an endpoint is not used. Code is for programs, Text for people.
type Reason struct {
	Code string `json:"code"`
	Text string `json:"text"`
}

// Codes of reasons.
const (
	CodeNotReady    = "not-ready"
	CodeDraining    = "draining"
	CodeOtherZone   = "other-zone"
	CodeOtherNode   = "other-node"
	CodeOtherFamily = "other-family"
	CodePortName    = "port-name"
	CodeRefused     = "refused"
	CodeTwice       = "twice"
	CodeBound       = "bound"
)

// Explain resolves a Service as the loop does, and notes at each stage what became of
// each endpoint. Which endpoints are used comes from Resolve's own stages.
func Explain(svc *objects.Service, from []*objects.Slice, f *ClusterFacts) *Explanation {
	allowed, problems := CheckAddresses(svc, f)
	safe, unsafe := CheckEndpoints(from, f)
	e := &Explanation{Service: allowed}
	var excess []objects.Problem
	e.Claims, excess = Resolve(allowed, safe, &f.Self, nil)
	e.Problems = slices.Concat(problems, unsafe, excess)
	for i := range allowed.Ports {
		for _, family := range inet.Families() {
			if b := newBuilder(allowed, &allowed.Ports[i], family == inet.IPv6, safe, &f.Self, nil); b != nil {
				e.Ports = append(e.Ports, b.explain(from, safe))
			}
		}
	}
	return e
}

// explain says what became of the endpoints of all slices.
func (b *builder) explain(from, safe []*objects.Slice) PortExplanation {
	out := PortExplanation{Port: *b.port, Family: inet.IPv4, Fallback: b.choice.fallback, Any: b.choice.any}
	if b.v6 {
		out.Family = inet.IPv6
	}
	s := newStages(b, safe)
	for _, slice := range from {
		port := slices.IndexFunc(slice.Ports, func(p objects.SlicePort) bool { return p.Name == b.port.Name && p.Proto == b.port.Proto })
		for i := range slice.Endpoints {
			t := target{Endpoint: &slice.Endpoints[i]}
			if port >= 0 {
				t.port = slice.Ports[port].Port
			}
			use := EndpointUse{Slice: slice.Key, Addr: t.Addr, Port: t.port, Node: t.Node.String(), Zone: t.Zone.String(), Here: t.on(b.self)}
			use.Unused, use.NotLocal = s.reasons(slice, port, t)
			out.Endpoints = append(out.Endpoints, use)
		}
	}
	return out
}

// stages are what each stage of a builder kept.
type stages struct {
	*builder
	safe           map[source]bool           // CheckEndpoints
	merged         map[netip.AddrPort]target // endpointsOf
	cluster, local map[netip.AddrPort]bool   // choose
	kept           map[netip.AddrPort]bool   // Frontend.Canonical
}

// source is an endpoint of a slice.
type source struct {
	slice types.NamespacedName
	at    netip.AddrPort
}

func newStages(b *builder, safe []*objects.Slice) *stages {
	s := &stages{
		builder: b, safe: map[source]bool{}, merged: map[netip.AddrPort]target{},
		cluster: map[netip.AddrPort]bool{}, local: map[netip.AddrPort]bool{}, kept: map[netip.AddrPort]bool{},
	}
	for _, slice := range safe {
		for _, p := range slice.Ports {
			for i := range slice.Endpoints {
				s.safe[source{slice.Key, netip.AddrPortFrom(slice.Endpoints[i].Addr, p.Port)}] = true
			}
		}
	}
	for _, t := range b.choice.existing {
		s.merged[t.backend()] = t
	}
	for _, t := range b.choice.cluster {
		s.cluster[t.backend()] = true
	}
	for _, t := range b.choice.local {
		s.local[t.backend()] = true
	}
	all := nat.Frontend{Policy: nat.External, Backends: b.cluster}
	for _, c := range all.Canonical(inet.Addr{IP: b.clusterIP, Port: b.port.Port, Proto: b.port.Proto}).Backends {
		s.kept[c.AddrPort()] = true
	}
	return s
}

// reasons names the stage that left an endpoint out.
func (s *stages) reasons(slice *objects.Slice, port int, t target) (unused, notLocal Reason) {
	both := func(code, format string, args ...any) (Reason, Reason) {
		r := Reason{code, fmt.Sprintf(format, args...)}
		return r, r
	}
	switch {
	case slice.IPv6 != s.v6:
		return both(CodeOtherFamily, "its address is of the other family than the ClusterIP %s", s.clusterIP)
	case port < 0:
		return both(CodePortName, "slice %s has no port %s; it has %s", slice.Key.Name, describePort(s.port.Name, s.port.Proto), describePorts(slice.Ports))
	case !s.safe[source{slice.Key, t.backend()}]:
		return both(CodeRefused, "it is an address of a node and %d/udp the port of its tunnels", t.port)
	}
	at := t.backend()
	if m, ok := s.merged[at]; ok && m.rank(s.self) > t.rank(s.self) {
		return both(CodeTwice, "another slice has it, too, and says that it is more ready")
	}
	unused, notLocal = s.condition(t), s.condition(t)
	switch {
	case s.cluster[at] && !s.kept[at]:
		unused = Reason{CodeBound, fmt.Sprintf("it is beyond the first %d endpoints", 1<<nat.MaxClass)}
	case s.cluster[at]:
		unused = Reason{}
	case t.isReady() && s.choice.level == levelNode:
		unused = Reason{CodeOtherNode, "its topology hints keep it for node " + strings.Join(t.ForNodes.List(), ", ")}
	case t.isReady():
		unused = Reason{CodeOtherZone, fmt.Sprintf("its topology hints keep it for zone %s, and this node is in zone %s", strings.Join(t.ForZones.List(), ", "), s.self.Zone)}
	}
	switch {
	case s.local[at]:
		notLocal = Reason{}
	case !t.on(s.self):
		notLocal = Reason{CodeOtherNode, "it runs on " + describeNode(t.Node.String())}
	}
	return unused, notLocal
}

// condition says why the conditions of an endpoint keep it from new connections.
func (s *stages) condition(t target) Reason {
	switch {
	case t.isDraining():
		return Reason{CodeDraining, "it terminates, and other endpoints are ready"}
	case t.Terminating:
		return Reason{CodeNotReady, "it terminates and no longer serves"}
	}
	return Reason{CodeNotReady, "it is not ready"}
}

func describeNode(name string) string {
	if name == "" {
		return "no known node"
	}
	return "node " + name
}

func describePort(name string, proto inet.Proto) string {
	if name == "" {
		return "without a name for " + strings.ToUpper(proto.String())
	}
	return fmt.Sprintf("%q for %s", name, strings.ToUpper(proto.String()))
}

func describePorts(list []objects.SlicePort) string {
	if len(list) == 0 {
		return "no ports"
	}
	words := make([]string, len(list))
	for i, p := range list {
		words[i] = describePort(p.Name, p.Proto)
	}
	return strings.Join(words, ", ")
}

// Addr returns the address that is claimed.
func (c *Claim) Addr() inet.Addr { return c.key }
