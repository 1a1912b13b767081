// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"net/netip"
	"slices"
	"time"

	"fairlead/internal/inet"
)

// Ports of the servers and Services of a test.
const (
	PodPort     = 8080 // of servers in the pod network, TCP and UDP
	ServicePort = 80
)

// World is what a test runs in. It travels to the clients as JSON.
type World struct {
	Namespace string    `json:"namespace"`
	Nodes     []Node    `json:"nodes"`
	Services  []Service `json:"services"`
	// HostPort is the port of the servers in the network of their node; 0 is none.
	HostPort uint16 `json:"hostPort,omitempty"`
	// PodHostPort is the hostPort of the servers in the pod network, over TCP and UDP; 0 is
	// none.
	PodHostPort uint16 `json:"podHostPort,omitempty"`
	// Names says that the names of Services are looked up.
	Names bool `json:"names,omitempty"`
	// Egress are addresses, HOST:PORT, that answer to TCP.
	Egress []string `json:"egress,omitempty"`
	// Peers is how many other nodes each client tries by address; 0 is all.
	Peers int `json:"peers,omitempty"`
	// Duration is the time to measure each path; 0 makes a test.
	Duration time.Duration `json:"duration,omitempty"`
}

// Node is a node that takes part.
type Node struct {
	Name  string       `json:"name"`
	Addrs []netip.Addr `json:"addrs"`
	Pod   []netip.Addr `json:"pod,omitempty"` // of the server in its pod network
}

// Proto is "tcp" or "udp".
type Proto string

// The protocols of a test.
const (
	TCP Proto = "tcp"
	UDP Proto = "udp"
)

// Kind is what a check is about.
type Kind string

// The kinds of checks.
const (
	Pod           Kind = "pod"
	NodeAddress   Kind = "node"
	HostPort      Kind = "hostPort"
	ClusterIP     Kind = "ClusterIP"
	NodePort      Kind = "NodePort"
	ExternalLocal Kind = "externalTrafficPolicy Local"
	InternalLocal Kind = "internalTrafficPolicy Local"
	ExternalIP    Kind = "externalIPs"
	LoadBalancer  Kind = "LoadBalancer"
	BalancerLocal Kind = "LoadBalancer Local"       // with externalTrafficPolicy Local
	SourceRanges  Kind = "loadBalancerSourceRanges" // which leave out all clients of a test
	Affinity      Kind = "session affinity"
	Hairpin       Kind = "hairpin"
	Headless      Kind = "headless"
	DNS           Kind = "DNS"
	Egress        Kind = "egress"
	Setup         Kind = "setup" // a pod of the test that does not run
)

// Kinds returns all kinds in the order of a report.
func Kinds() []Kind {
	return []Kind{Setup, Pod, NodeAddress, HostPort, ClusterIP, NodePort, ExternalLocal, InternalLocal, ExternalIP, LoadBalancer, BalancerLocal, SourceRanges, Affinity, Hairpin, Headless, DNS, Egress}
}

// IsBalancer reports whether Services of the kind have the address of a load balancer.
func (k Kind) IsBalancer() bool { return k == LoadBalancer || k == BalancerLocal || k == SourceRanges }

// Ranges returns the clients of the Service with loadBalancerSourceRanges: addresses for
// documentation (RFC 5737, RFC 3849), which no client of a test has.
func Ranges() []netip.Prefix {
	return []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("2001:db8:5100::/48")}
}

// Backends says which pods are behind a Service.
type Backends string

// The pods of a test.
const (
	Servers Backends = "servers" // those of all nodes
	First   Backends = "first"   // that of the first node
	Second  Backends = "second"  // that of the second node
	Clients Backends = "clients" // the clients in the pod network, which serve as well
)

// Service is a Service of the test. Spec is what the test wants; the rest is known once
// it exists.
type Service struct {
	Name     string   `json:"name"`
	Kind     Kind     `json:"kind"`
	Proto    Proto    `json:"proto"`
	Backends Backends `json:"backends"`

	ClusterIPs []netip.Addr `json:"clusterIPs,omitempty"`
	NodePort   uint16       `json:"nodePort,omitempty"`
	// IPs are the external or load balancer's addresses.
	IPs []netip.Addr `json:"ips,omitempty"`
	// Skip is why the Service is left out.
	Skip string `json:"skip,omitempty"`
}

// Prefix begins the names of all objects of a test.
const Prefix = "fairlead-test-"

// Services returns the Services of a test, before they exist. Addresses in ips, which
// nothing else may have, become external ones and those of a load balancer, which gets the two
// addresses behind each as well.
func Services(ips, balancer []netip.Addr) []Service {
	return []Service{
		{Name: Prefix + "cluster", Kind: ClusterIP, Proto: TCP, Backends: Servers},
		{Name: Prefix + "cluster-udp", Kind: ClusterIP, Proto: UDP, Backends: Servers},
		{Name: Prefix + "nodeport", Kind: NodePort, Proto: TCP, Backends: Servers},
		{Name: Prefix + "nodeport-udp", Kind: NodePort, Proto: UDP, Backends: Servers},
		{Name: Prefix + "local", Kind: ExternalLocal, Proto: TCP, Backends: Servers},
		{Name: Prefix + "local-first", Kind: ExternalLocal, Proto: TCP, Backends: First},
		{Name: Prefix + "internal", Kind: InternalLocal, Proto: TCP, Backends: Servers},
		{Name: Prefix + "external", Kind: ExternalIP, Proto: TCP, Backends: Servers, IPs: ips},
		{Name: Prefix + "balancer", Kind: LoadBalancer, Proto: TCP, Backends: Servers, IPs: balancer},
		{Name: Prefix + "sticky", Kind: Affinity, Proto: TCP, Backends: Servers},
		{Name: Prefix + "hairpin", Kind: Hairpin, Proto: TCP, Backends: Clients},
		{Name: Prefix + "headless", Kind: Headless, Proto: TCP, Backends: Servers},
		{Name: Prefix + "local-udp", Kind: ExternalLocal, Proto: UDP, Backends: Servers},
		{Name: Prefix + "internal-first", Kind: InternalLocal, Proto: TCP, Backends: First},
		{Name: Prefix + "balancer-local", Kind: BalancerLocal, Proto: TCP, Backends: Servers, IPs: behind(balancer, 1)},
		{Name: Prefix + "ranges", Kind: SourceRanges, Proto: TCP, Backends: Servers, IPs: behind(balancer, 2)},
	}
}

// behind returns the n-th address behind each of a list.
func behind(list []netip.Addr, n int) []netip.Addr {
	out := slices.Clone(list)
	for i := range out {
		for range n {
			out[i] = out[i].Next()
		}
	}
	return out
}

// Families returns the IP versions that servers in the pod network have.
func (w *World) Families() (out []inet.Family) {
	has := func(list []netip.Addr, f inet.Family) bool {
		return slices.ContainsFunc(list, func(a netip.Addr) bool { return inet.FamilyOf(a) == f })
	}
	for _, f := range inet.Families() {
		if slices.ContainsFunc(w.Nodes, func(n Node) bool { return has(n.Pod, f) }) {
			out = append(out, f)
		}
	}
	return out
}

// NodeServer returns the name of the server in the network of a node.
func NodeServer(node string) string { return node }

// PodServer returns the name of the server in the pod network of a node.
func PodServer(node string) string { return "pod on " + node }

// ClientServer returns the name of the client in the pod network of a node, which serves.
func ClientServer(node string) string { return "client on " + node }
