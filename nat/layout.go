// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nat

import (
	"strings"

	"fairlead/internal/inet"
)

// TableName is the name of the table, of family inet.
const TableName = "fairlead"

// component is one part of a concatenated key, or of a map's data.
type component uint8

const (
	cVIP     component = iota // the address that was dialled
	cProto                    // its protocol
	cPort                     // its port
	cSlot                     // number of a backend, host byte order
	cClient                   // the client's address
	cBackend                  // a backend's address
	cTarget                   // a backend's port
)

// kind names a set or map without its family.
type kind uint8

const (
	kVIPs kind = iota
	kNodePorts
	kBackends
	kLocals
	kNodeBackends
	kNodeLocals
	kSources
	kHairpin
	kClusterIPs
	kPods
	kNodePortAddrs
	kServiceCIDRs
	kAffinity
	kNodeAffinity
	kSticky
	kNodeSticky
	kCluster
	kOutside
	kEgress
	kNoMasquerade
	kNodes
	kVTEPs
	kHostPorts
	kHostIPPorts
	numKinds
)

// layoutRow declares a set or map. Each row exists once for each family, so
// that the twins are in the kernel and not in the source.
type layoutRow struct {
	name    string
	key     []component
	data    []component // nil for a set or a verdict map
	verdict bool
	ranges  bool // flags interval
	learnt  bool // flags dynamic,timeout: filled by packets, not by us
}

// layout lists every set and map in the order in which they are declared.
var layout = [numKinds]layoutRow{
	// What a client dials -> the chain that fits its policy and size class.
	kVIPs:      {name: "vips", key: []component{cVIP, cProto, cPort}, verdict: true},
	kNodePorts: {name: "nodeports", key: []component{cProto, cPort}, verdict: true},
	// The same and a slot -> backend. The "locals" are the backends on this
	// node, for policy Local.
	kBackends:     {name: "backends", key: []component{cVIP, cProto, cPort, cSlot}, data: []component{cBackend, cTarget}},
	kLocals:       {name: "locals", key: []component{cVIP, cProto, cPort, cSlot}, data: []component{cBackend, cTarget}},
	kNodeBackends: {name: "node-backends", key: []component{cProto, cPort, cSlot}, data: []component{cBackend, cTarget}},
	kNodeLocals:   {name: "node-locals", key: []component{cProto, cPort, cSlot}, data: []component{cBackend, cTarget}},
	// Who may dial a restricted frontend.
	kSources: {name: "sources", key: []component{cVIP, cProto, cPort, cClient}, ranges: true},
	// Backends on this node, each twice: a connection from and to the same one
	// needs masquerade, or its reply would never come back to be translated.
	kHairpin: {name: "hairpin", key: []component{cClient, cBackend}},
	// Addresses whose other ports are rejected, and the ranges of such
	// addresses, in which everything else is dropped.
	kClusterIPs:    {name: "cluster-ips", key: []component{cVIP}},
	kPods:          {name: "pods", key: []component{cClient}, ranges: true},
	kNodePortAddrs: {name: "nodeport-addrs", key: []component{cVIP}, ranges: true},
	kServiceCIDRs:  {name: "service-cidrs", key: []component{cVIP}, ranges: true},
	// Which backend a client of a sticky frontend had, and which chain
	// remembers that.
	kAffinity:     {name: "affinity", key: []component{cVIP, cProto, cPort, cClient}, data: []component{cBackend, cTarget}, learnt: true},
	kNodeAffinity: {name: "node-affinity", key: []component{cProto, cPort, cClient}, data: []component{cBackend, cTarget}, learnt: true},
	kSticky:       {name: "sticky", key: []component{cVIP, cProto, cPort}, verdict: true},
	kNodeSticky:   {name: "node-sticky", key: []component{cProto, cPort}, verdict: true},
	// Where all pods of the cluster are, and backends that are not there.
	kCluster: {name: "cluster", key: []component{cVIP}, ranges: true},
	kOutside: {name: "outside-backends", key: []component{cClient}},
	// Pods that are masqueraded on their way out, and where that way does not
	// lead.
	kEgress:       {name: "egress", key: []component{cClient}, ranges: true},
	kNoMasquerade: {name: "no-masquerade", key: []component{cVIP}, ranges: true},
	// The ends of the overlay's tunnels: on all nodes, and on this one.
	kNodes: {name: "nodes", key: []component{cClient}},
	kVTEPs: {name: "vteps", key: []component{cVIP}, ranges: true},
	// Ports of this node that belong to one pod, on all addresses or on one.
	kHostPorts:   {name: "hostports", key: []component{cProto, cPort}, data: []component{cBackend, cTarget}},
	kHostIPPorts: {name: "hostip-ports", key: []component{cVIP, cProto, cPort}, data: []component{cBackend, cTarget}},
}

// setID identifies one set or map of the table.
type setID struct {
	kind kind
	fam  inet.Family
}

func (s setID) row() *layoutRow { return &layout[s.kind] }
func (s setID) String() string  { return s.row().name + string(s.fam.Digit()) }

// isMap tells maps, of data or of verdicts, from sets.
func (r *layoutRow) isMap() bool { return r.verdict || r.data != nil }

// isSlots tells maps of backends by slot from others.
func (s setID) isSlots() bool {
	switch s.kind {
	case kBackends, kLocals, kNodeBackends, kNodeLocals:
		return true
	}
	return false
}

// typeof reports whether the declaration must use typeof: integers such as a
// slot have no type of fixed length in nft's language, and nft fills a map of
// two-part data by NAT only when it knows the expressions.
func (r *layoutRow) typeof() bool { return r.data != nil }

// allSets calls f for every set in the order of declaration.
func allSets(f func(setID)) {
	for k := range numKinds {
		for _, fam := range inet.Families() {
			f(setID{k, fam})
		}
	}
}

// setNamed finds a set by its name in the kernel.
func setNamed(name string) (setID, bool) {
	for k := range numKinds {
		for _, fam := range inet.Families() {
			if base, ok := strings.CutSuffix(name, string(fam.Digit())); ok && base == layout[k].name {
				return setID{k, fam}, true
			}
		}
	}
	return setID{}, false
}

// The maps that belong to a frontend: one set for VIPs, one for NodePorts.

func verdictsOf(key inet.Addr) setID { return pickSet(key, kVIPs, kNodePorts) }
func backendsOf(key inet.Addr) setID { return pickSet(key, kBackends, kNodeBackends) }
func localsOf(key inet.Addr) setID   { return pickSet(key, kLocals, kNodeLocals) }
func affinityOf(key inet.Addr) setID { return pickSet(key, kAffinity, kNodeAffinity) }
func stickyOf(key inet.Addr) setID   { return pickSet(key, kSticky, kNodeSticky) }

func pickSet(key inet.Addr, vip, node kind) setID {
	if key.IsNodePort() {
		return setID{node, inet.FamilyOf(key.IP)}
	}
	return setID{vip, inet.FamilyOf(key.IP)}
}
