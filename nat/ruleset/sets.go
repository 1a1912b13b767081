// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package ruleset

import (
	"cmp"
	"net/netip"
	"strconv"
	"strings"

	"fairlead/internal/inet"
)

// IsNode reports whether the set is for NodePorts. Its keys then have no address.
func (s Set) IsNode() bool {
	switch s.Kind {
	case NodePorts, NodeBackends, NodeLocals, NodeAffinity, NodeLocalAffinity, NodeSticky, HostPorts:
		return true
	}
	return false
}

// TableName is the name of the table, of family inet.
const TableName = "fairlead"

// Part is one part of a concatenated key, or of a map's data.
type Part uint8

// The parts of keys and data.
const (
	PartVIP     Part = iota // the address that was dialled
	PartProto               // its protocol
	PartPort                // its port
	PartSlot                // number of a backend, host byte order
	PartClient              // the client's address
	PartBackend             // a backend's address
	PartTarget              // a backend's port
)

// Kind names a set or map without its family.
type Kind uint8

// The kinds of sets and maps, in the order of their declaration.
const (
	VIPs Kind = iota
	NodePorts
	Backends
	Locals
	NodeBackends
	NodeLocals
	Sources
	Hairpin
	ClusterIPs
	Pods
	NodePortAddrs
	ServiceCIDRs
	Affinity
	NodeAffinity
	LocalAffinity
	NodeLocalAffinity
	Sticky
	NodeSticky
	Cluster
	Outside
	Egress
	NoMasquerade
	Nodes
	Gateways
	VTEPs
	HostPorts
	HostIPPorts
	numKinds
)

// SetSpec declares a set or map. Each row makes one set for each family, so the
// source lists every pair once.
type SetSpec struct {
	name    string
	Key     []Part
	Data    []Part // nil for a set or a verdict map
	Verdict bool
	Ranges  bool // flags interval
	Learnt  bool // flags dynamic,timeout: filled by packets, not by us
}

// layout lists every set and map in the order in which they are declared.
var layout = [numKinds]SetSpec{
	// The address that a client dials -> the chain that fits its policy and size class.
	VIPs:      {name: "vips", Key: []Part{PartVIP, PartProto, PartPort}, Verdict: true},
	NodePorts: {name: "nodeports", Key: []Part{PartProto, PartPort}, Verdict: true},
	// The same and a slot -> backend. The "locals" are the backends on this
	// node, for policy Local.
	Backends:     {name: "backends", Key: []Part{PartVIP, PartProto, PartPort, PartSlot}, Data: []Part{PartBackend, PartTarget}},
	Locals:       {name: "locals", Key: []Part{PartVIP, PartProto, PartPort, PartSlot}, Data: []Part{PartBackend, PartTarget}},
	NodeBackends: {name: "node-backends", Key: []Part{PartProto, PartPort, PartSlot}, Data: []Part{PartBackend, PartTarget}},
	NodeLocals:   {name: "node-locals", Key: []Part{PartProto, PartPort, PartSlot}, Data: []Part{PartBackend, PartTarget}},
	// Who may dial a restricted frontend: ranges of one prefix length each, made when
	// a frontend needs them. The kernel copies a set of ranges with several parts
	// (pipapo) for each change, and a hash table never.
	Sources: {name: "sources", Key: []Part{PartVIP, PartProto, PartPort, PartClient}},
	// Backends on this node, each twice: a connection from and to the same one
	// needs masquerade, because otherwise its reply would bypass the translation.
	Hairpin: {name: "hairpin", Key: []Part{PartClient, PartBackend}},
	// Addresses whose other ports are rejected, and the ranges of such
	// addresses, in which everything else is dropped.
	ClusterIPs:    {name: "cluster-ips", Key: []Part{PartVIP}},
	Pods:          {name: "pods", Key: []Part{PartClient}, Ranges: true},
	NodePortAddrs: {name: "nodeport-addrs", Key: []Part{PartVIP}, Ranges: true},
	ServiceCIDRs:  {name: "service-cidrs", Key: []Part{PartVIP}, Ranges: true},
	// These hold which backend a client of a sticky frontend had, and which chain
	// remembers it.
	Affinity:     {name: "affinity", Key: []Part{PartVIP, PartProto, PartPort, PartClient}, Data: []Part{PartBackend, PartTarget}, Learnt: true},
	NodeAffinity: {name: "node-affinity", Key: []Part{PartProto, PartPort, PartClient}, Data: []Part{PartBackend, PartTarget}, Learnt: true},
	// The same for the clients that policy Local confines to backends on this node:
	// when the policy changes, each client is looked up where the new one allows it.
	LocalAffinity:     {name: "local-affinity", Key: []Part{PartVIP, PartProto, PartPort, PartClient}, Data: []Part{PartBackend, PartTarget}, Learnt: true},
	NodeLocalAffinity: {name: "node-local-affinity", Key: []Part{PartProto, PartPort, PartClient}, Data: []Part{PartBackend, PartTarget}, Learnt: true},
	Sticky:            {name: "sticky", Key: []Part{PartVIP, PartProto, PartPort}, Verdict: true},
	NodeSticky:        {name: "node-sticky", Key: []Part{PartProto, PartPort}, Verdict: true},
	// The ranges of all pods of the cluster, and the backends outside of them.
	Cluster: {name: "cluster", Key: []Part{PartVIP}, Ranges: true},
	Outside: {name: "outside-backends", Key: []Part{PartClient}},
	// Pods that are masqueraded on their way out, and the destinations that are
	// exempt.
	Egress:       {name: "egress", Key: []Part{PartClient}, Ranges: true},
	NoMasquerade: {name: "no-masquerade", Key: []Part{PartVIP}, Ranges: true},
	// The ends of the overlay's tunnels: on all nodes, and on this one.
	Nodes: {name: "nodes", Key: []Part{PartClient}},
	// Address of another node -> the gateway to its pods, through the tunnel.
	Gateways: {name: "node-gateways", Key: []Part{PartVIP}, Data: []Part{PartBackend}},
	VTEPs:    {name: "vteps", Key: []Part{PartVIP}, Ranges: true},
	// Ports of this node that belong to one pod, on all addresses or on one.
	HostPorts:   {name: "hostports", Key: []Part{PartProto, PartPort}, Data: []Part{PartBackend, PartTarget}},
	HostIPPorts: {name: "hostip-ports", Key: []Part{PartVIP, PartProto, PartPort}, Data: []Part{PartBackend, PartTarget}},
}

// Set identifies one set or map of the table.
type Set struct {
	Kind   Kind
	Family inet.Family
	// Number is the prefix length of Sources, and for affinity maps the number of the
	// Service that they belong to, or 0 for the map that all Services use.
	Number uint8
}

// SourcesOf returns the set of source ranges of one prefix length.
func SourcesOf(p netip.Prefix) Set {
	return Set{Kind: Sources, Family: inet.FamilyOf(p.Addr()), Number: uint8(p.Bits())}
}

// OnDemand reports whether the set exists only while a frontend needs it.
func (s Set) OnDemand() bool { return s.Kind == Sources || s.Number > 0 }

// MaxShares is the number of Services that have affinity maps of their own.
const MaxShares = 64

// lastNumber returns the highest number that sets of the kind on demand may have;
// the lowest is 1.
func (s Set) lastNumber() int {
	switch {
	case s.Kind == Sources:
		return s.Family.Unspecified().BitLen()
	case s.Spec().Learnt:
		return MaxShares
	}
	return 0
}

// Spec returns the declaration that all sets of the kind share.
func (s Set) Spec() *SetSpec { return &layout[s.Kind] }

// String returns the name in the kernel, for example "vips4" or "sources4-24".
func (s Set) String() string {
	name := s.Spec().name + string(s.Family.Digit())
	if s.OnDemand() {
		name += "-" + strconv.Itoa(int(s.Number))
	}
	return name
}

// IsMap reports whether the set is a map of data or of verdicts.
func (r *SetSpec) IsMap() bool { return r.Verdict || r.Data != nil }

// IsInterval reports whether the set holds address ranges, which the settings fill.
// The kernel keeps such a range as two elements.
func (r *SetSpec) IsInterval() bool { return r.Ranges && len(r.Key) == 1 }

// FollowsBackends reports whether the set has the addresses of backends that lie in no range of the
// cluster, and nothing else. So the maps of backends and the settings tell what is in it.
func (s Set) FollowsBackends() bool { return s.Kind == Outside }

// IsSlots reports whether the set is a map of backends by slot.
func (s Set) IsSlots() bool {
	switch s.Kind {
	case Backends, Locals, NodeBackends, NodeLocals:
		return true
	}
	return false
}

// typeof reports whether the declaration must use typeof: integers such as a
// slot have no type of fixed length in nft's language, and nft fills a map of
// two-part data by NAT only when it knows the expressions.
func (r *SetSpec) typeof() bool { return len(r.Data) > 1 }

// AllSets calls f for every set that always exists, in the order of declaration.
func AllSets(f func(Set)) {
	for k := range numKinds {
		for _, fam := range inet.Families() {
			if s := (Set{Kind: k, Family: fam}); !s.OnDemand() {
				f(s)
			}
		}
	}
}

// SetNamed finds a set by its name in the kernel.
func SetNamed(name string) (Set, bool) {
	base, number := name, 0
	if i := strings.LastIndexByte(name, '-'); i >= 0 {
		if n, err := strconv.ParseUint(name[i+1:], 10, 8); err == nil {
			base, number = name[:i], int(n)
		}
	}
	for k := range numKinds {
		for _, fam := range inet.Families() {
			s := Set{Kind: k, Family: fam, Number: uint8(number)}
			if layout[k].name+string(fam.Digit()) != base || s.String() != name {
				continue
			}
			return s, !s.OnDemand() || 1 <= number && number <= s.lastNumber()
		}
	}
	return Set{}, false
}

// VerdictsOf returns the map that leads from a frontend to its chain.
func VerdictsOf(key inet.Addr) Set { return pickSet(key, VIPs, NodePorts) }

// BackendsOf returns the map of the frontend's backends by slot.
func BackendsOf(key inet.Addr) Set { return pickSet(key, Backends, NodeBackends) }

// LocalsOf returns the map of the frontend's backends on this node by slot.
func LocalsOf(key inet.Addr) Set { return pickSet(key, Locals, NodeLocals) }

// AffinityOf returns the map that remembers clients of a frontend: those that policy
// Local confines to backends on this node, or all others. It is the map that all
// Services use, or with a share that of one Service.
func AffinityOf(key inet.Addr, local bool, share uint8) Set {
	s := pickSet(key, Affinity, NodeAffinity)
	if local {
		s = pickSet(key, LocalAffinity, NodeLocalAffinity)
	}
	s.Number = share
	return s
}

// IsLocalAffinity reports whether the set remembers clients that policy Local
// confines.
func (s Set) IsLocalAffinity() bool { return s.Kind == LocalAffinity || s.Kind == NodeLocalAffinity }

// IsHostPorts reports whether the set leads from ports of this node to pods.
func (s Set) IsHostPorts() bool { return s.Kind == HostPorts || s.Kind == HostIPPorts }

// StickyOf returns the map that leads from a sticky frontend to the chain that
// remembers its clients.
func StickyOf(key inet.Addr) Set { return pickSet(key, Sticky, NodeSticky) }

func pickSet(key inet.Addr, vip, node Kind) Set {
	if key.IsNodePort() {
		return Set{Kind: node, Family: inet.FamilyOf(key.IP)}
	}
	return Set{Kind: vip, Family: inet.FamilyOf(key.IP)}
}

// CompareSets orders sets by kind, family and number.
func CompareSets(a, b Set) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Family, b.Family), cmp.Compare(a.Number, b.Number))
}
