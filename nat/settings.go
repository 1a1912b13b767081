// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nat

import (
	"net/netip"
	"slices"
)

// Mark returns the mark bit that the table uses.
func (s *Settings) Mark() uint32 {
	if s.MasqueradeMark == 0 {
		return DefaultMasqueradeMark
	}
	return s.MasqueradeMark
}

// DefaultMasqueradeMark is the packet mark bit that a frontend sets for the chain
// that masquerades. kube-proxy uses the same bit.
const DefaultMasqueradeMark = 0x4000

// Settings describes everything in the table that belongs to no single frontend.
// The zero value serves frontends on VIPs only.
type Settings struct {
	// MasqueradeMark is a single bit; 0 stands for DefaultMasqueradeMark. The
	// table changes no other bit of a packet's mark.
	MasqueradeMark uint32
	// MasqueradeAll masquerades every connection to an Internal frontend.
	MasqueradeAll bool
	// Pods recognises the cluster's pods among all clients.
	Pods PodMatch
	// NodePortAddrs are the prefixes in which an address of this node must lie
	// to serve NodePorts. The kernel decides which addresses those are, so
	// that addresses may come and go. IPv4 loopback addresses serve NodePorts only if
	// one of the prefixes lies in 127.0.0.0/8.
	NodePortAddrs []netip.Prefix
	// Loopback serves host ports on IPv4 loopback addresses, for this node's own
	// connections. It needs route_localnet on the interfaces of pods. The kernel has no
	// such setting for IPv6: a reply to ::1 that arrives on a wire has no route.
	Loopback bool
	// CheckedInterfaces are names of interfaces that lead to pods. A * at the end
	// matches every name with that beginning. Packets from there whose source address
	// is not routed to the same interface are dropped and counted.
	CheckedInterfaces []string
	// Cluster are the ranges of all pods of the cluster, wherever they run.
	Cluster []netip.Prefix
	// KeepInvalid lets TCP packets pass that connection tracking finds invalid.
	// Without it such packets of pods and backends are dropped. The kernel does not
	// translate them back, so a client would see them come from an address that it
	// never dialled and answer with a reset (kubernetes/kubernetes#74839).
	KeepInvalid bool
	// Egress masquerades what pods send to the world.
	Egress Egress
	// Tunnels guards the overlay's tunnels.
	Tunnels Tunnels
	// ServiceCIDRs are the ranges of ClusterIPs. Connections to an address in
	// them that no Exclusive frontend has are dropped.
	ServiceCIDRs []netip.Prefix
	// BackendCounters adds a counter to each backend's element, which counts the
	// connections that are sent there; see kernel.Table.BackendCounters. It costs
	// memory for each element, and CPU time.
	BackendCounters bool
}

// loopback is the range of IPv4's loopback addresses.
var loopback = netip.PrefixFrom(netip.AddrFrom4([4]byte{127}), 8)

// LoopbackNodePorts reports whether IPv4 loopback addresses serve NodePorts.
func (s *Settings) LoopbackNodePorts() bool {
	return slices.ContainsFunc(s.NodePortAddrs, func(p netip.Prefix) bool {
		return loopback.Contains(p.Addr()) && p.Bits() >= loopback.Bits()
	})
}

// ServesLoopback reports whether IPv4 loopback addresses serve anything.
func (s *Settings) ServesLoopback() bool { return s.Loopback || s.LoopbackNodePorts() }

// Egress says which connections of pods leave the cluster. They get the address
// of this node, because hosts outside have no route back to a pod. The zero value
// masquerades nothing.
type Egress struct {
	// Sources are the ranges of this node's pods.
	Sources []netip.Prefix
	// Keep are destinations that see the pod's own address, besides
	// Settings.Cluster and multicast.
	Keep []netip.Prefix
	// KeepNodes adds the nodes to Keep, see State.SetNodes. Their replies must find
	// the way to the pod, and it must be the way of the request.
	KeepNodes bool
}

// Kept returns all destinations that are not masqueraded. It includes multicast
// and broadcast, which have no connections to masquerade.
func (e *Egress) Kept(cluster []netip.Prefix) []netip.Prefix {
	if len(e.Sources) == 0 {
		return nil
	}
	return slices.Concat(cluster, e.Keep, []netip.Prefix{
		netip.MustParsePrefix("224.0.0.0/4"), netip.MustParsePrefix("255.255.255.255/32"), netip.MustParsePrefix("ff00::/8"),
	})
}

// Tunnels describes VXLAN tunnels that end on this node. Their packets are not
// tracked, and are dropped unless they come from a node, see State.SetNodes. Port 0
// means that there are no tunnels.
type Tunnels struct {
	Port  uint16       // UDP
	Addrs []netip.Addr // where this node's tunnels end
	// PodInterfaces are names of interfaces that lead to pods. A * at the end matches
	// every name with that beginning. Tunnel packets from there are dropped, whatever
	// their source address.
	PodInterfaces []string
	// ReplyMark is the bit that marks packets of pods which answer a node's own
	// address, while they carry that of a Gateway. 0 leaves them to the underlay.
	ReplyMark uint32
	// KeepSource keeps a node's own address in front of backends on other nodes where
	// policy Local would let it: their replies come back through the tunnel.
	KeepSource bool
}

// Gateway leads replies of pods to another node's own address through the tunnel.
type Gateway struct {
	Node netip.Addr // any address of the other node
	// Address is routed through the tunnel to that node, as its pods are. It has the family of
	// Node. The zero value means that replies take the underlay.
	Address netip.Addr
}

// PodMatch recognises traffic that comes from the cluster's pods. At most one
// field is used, the first one set. The zero value recognises no pods, and nothing
// is masqueraded on its account.
type PodMatch struct {
	CIDRs           []netip.Prefix // source address; a family without prefix detects nothing
	Interface       string         // exact name of the incoming interface
	InterfacePrefix string         // beginning of its name
}
