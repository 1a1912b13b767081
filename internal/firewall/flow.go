// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package firewall

import (
	"net/netip"
	"slices"
)

// Config describes a node's pod traffic. Devices may be left empty; rules about them
// then match no packet.
type Config struct {
	PodCIDRs     []netip.Prefix // of this node
	ClusterCIDRs []netip.Prefix // of all pods; PodCIDRs if empty
	PodDevice    string         // a pod's device on the node, or the bridge: "veth0", "cni0"
	Overlay      string         // "fairlead.1"
	Uplink       string         // "eth0"
	Own          string         // table to leave out: "inet fairlead"
	Ports        []Port         // of this node that others have to reach
	Self, Peers  []netip.Addr   // addresses of this node and of other nodes
}

// Flow is a kind of pod traffic that a node forwards.
type Flow string

// The flows, by what starts them.
const (
	PodToPod     Flow = "pod to pod on this node"
	PodToRemote  Flow = "pod to pod on another node"
	RemoteToPod  Flow = "pod on another node to pod"
	PodToOutside Flow = "pod to outside"
	OutsideToPod Flow = "outside to pod (NodePort)"
	Replies      Flow = "replies from outside to pod"
)

// packet is one packet of a flow. It has a value for everything that rules may
// sensibly match: ports that no rule names, marks of zero.
type packet struct {
	flow        Flow
	hook        hook // forward if empty
	src, dst    netip.Addr
	anySrc      bool // the source is not known
	iif, oif    device
	proto       byte // TCP if 0
	dport       uint16
	established bool
	dnat        bool
	untracked   bool
	early       bool // before connection tracking
	local       bool // dst is an address of this node
	port        Port // of this node, in packets to one
}

func (p packet) at() hook {
	if p.hook == "" {
		return forwardHook
	}
	return p.hook
}

func (p packet) l4() byte {
	if p.proto == 0 {
		return protoTCP
	}
	return p.proto
}

func (p packet) toPort() uint16 {
	if p.dport == 0 {
		return dstPort
	}
	return p.dport
}

// device is a network device as rules name it.
type device struct {
	name    string
	index   uint32
	unknown bool
}

const (
	protoTCP  = 6
	protoUDP  = 17
	protoSCTP = 132

	srcPort = 54321
	dstPort = 43210
	nowhere = 1 << 30 // an index that no device has
)

// outside are addresses for documentation (RFC 5737, RFC 3849).
func outside(is4 bool) netip.Addr {
	if is4 {
		return netip.AddrFrom4([4]byte{203, 0, 113, 77})
	}
	return netip.MustParseAddr("2001:db8:77::77")
}

// packets returns one packet per flow and family. indexes are those of the
// node's devices.
func (c Config) packets(indexes map[string]uint32) []packet {
	dev := func(name string) device {
		if i, ok := indexes[name]; ok {
			return device{name: name, index: i}
		}
		return device{name: name, index: nowhere}
	}
	pods, overlay, uplink := dev(c.PodDevice), dev(c.Overlay), dev(c.Uplink)
	var out []packet
	for _, cidr := range c.PodCIDRs {
		cidr = cidr.Masked()
		pod := cidr.Addr().Next().Next() // .1 is the gateway
		near, remote := pod.Next(), c.remote(cidr)
		far := outside(pod.Is4())
		out = append(out,
			packet{flow: PodToPod, src: pod, dst: near, iif: pods, oif: pods},
			packet{flow: PodToOutside, src: pod, dst: far, iif: pods, oif: uplink},
			packet{flow: Replies, src: far, dst: pod, iif: uplink, oif: pods, established: true},
			packet{flow: OutsideToPod, src: far, dst: pod, iif: uplink, oif: pods, dnat: true},
		)
		if remote.IsValid() {
			out = append(out,
				packet{flow: PodToRemote, src: pod, dst: remote, iif: pods, oif: overlay},
				packet{flow: RemoteToPod, src: remote, dst: pod, iif: overlay, oif: pods},
			)
		}
	}
	return slices.Concat(out, beside(out), c.toNode(dev))
}

// beside returns pod traffic at the hooks before and behind forward. It leaves out what
// other addresses stand for there, because of masquerade and Services.
func beside(forwarded []packet) (out []packet) {
	for _, p := range forwarded {
		switch p.flow {
		case PodToPod, PodToRemote, RemoteToPod:
			before, behind := at(p, preroutingHook), at(p, postroutingHook)
			before.oif, behind.iif = device{}, device{} // which are not known there
			out = append(out, before, behind)
		case PodToOutside:
			p.oif = device{}
			out = append(out, at(p, preroutingHook))
		}
	}
	return out
}

// remote returns an address of a pod on another node: in the cluster CIDR, just
// behind or before the node's range.
func (c Config) remote(local netip.Prefix) netip.Addr {
	for _, cluster := range c.ClusterCIDRs {
		if cluster.Bits() >= local.Bits() || !cluster.Contains(local.Addr()) {
			continue
		}
		b := local.Addr().AsSlice() // flip the last bit of the range's number
		b[(local.Bits()-1)/8] ^= 0x80 >> ((local.Bits() - 1) % 8)
		addr, _ := netip.AddrFromSlice(b)
		return addr.Next().Next()
	}
	return netip.Addr{}
}

// allPods returns the ranges that Apply accepts: sorted, each once, none inside
// another.
func (c Config) allPods() []netip.Prefix {
	all := slices.Concat(c.ClusterCIDRs, c.PodCIDRs)
	for i := range all {
		all[i] = all[i].Masked()
	}
	slices.SortFunc(all, netip.Prefix.Compare)
	var out []netip.Prefix
	for _, p := range all {
		// Sorted by address, then length: a range that contains p came before it.
		if n := len(out); n == 0 || !out[n-1].Overlaps(p) {
			out = append(out, p)
		}
	}
	return out
}
