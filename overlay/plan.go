// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"cmp"
	"net/netip"
	"slices"

	"fairlead/internal/inet"
)

// Plan is what the kernel shall hold. It is a value and may be shared once made.
type Plan struct {
	Devices []Device // that for tunnels over IPv4 first
	Entries Entries
	// Protocol marks the routes.
	Protocol uint8
	// MTU is what pods can send to all nodes without being fragmented.
	MTU int
	// Tunnel is what a packet filter has to know.
	Tunnel Tunnel
	// Waits is set while the node itself has no pod CIDR or no underlay address
	// yet, or no longer: what the kernel holds is then left as it is.
	Waits bool

	// VTEPs are the node's own addresses on the devices, the first of its pod CIDRs.
	VTEPs []netip.Addr
}

// Tunnel describes packets of the overlay as they are seen on the underlay.
type Tunnel struct {
	Port uint16       // UDP; 0 without a tunnel
	Own  []netip.Addr // source of what this node sends, destination of what it gets
	// Nodes holds the underlay addresses of all nodes, this one included, in
	// order: nobody else sends such packets.
	Nodes []netip.Addr
}

// Planner makes one Plan, and follows small changes of the nodes.
type Planner struct {
	Plan
	problems
	cfg  Config
	net  Underlay
	self *Node
	own  [2]netip.Addr // underlay addresses of self
	mtu  [2]int        // of the devices
	vtep [2]netip.Addr // own VTEP addresses, by family of pods
	// carries says for each device which families of pods it carries.
	carries [2][2]bool

	// What Update needs to go on from here.
	owners   *claims
	book     addressBook
	known    map[string]*knownNode // peers
	pass     uint64
	attached [2][2]bool // what is carried whatever the peers
	touched  map[Key]struct{}
}

// NewPlan returns what the kernel of node self shall hold so that its pods and
// those of peers reach each other, and what stands in the way. It is a pure
// function, and the order of peers does not matter.
func NewPlan(cfg Config, net Underlay, self Node, peers []Node) (Plan, []Problem) {
	p := NewPlanner(cfg, net, self, peers)
	return p.Plan, p.problems
}

// NewPlanner is NewPlan for callers that go on with Update.
func NewPlanner(cfg Config, net Underlay, self Node, peers []Node) *Planner {
	p := &Planner{cfg: cfg.WithDefaults(), net: net, self: &self}
	p.Entries = make(Entries, 4*len(peers)+2)
	p.Protocol = p.cfg.Protocol
	nodes := inOrder(&self, peers)
	p.book = newAddressBook(nodes)
	p.Tunnel.Nodes = p.book.addresses()
	p.checkConfig()
	if p.cfg.Mode != None && p.ready() {
		p.build(nodes)
	}
	p.problems = p.sorted()
	return p
}

// Underlay returns what the plan was made for.
func (p *Planner) Underlay() Underlay { return p.net }

// Problems returns what stands in the way.
func (p *Planner) Problems() []Problem { return p.problems }

func (p *Planner) build(nodes []*Node) {
	p.measure()
	p.owners = newClaims(nodes)
	for _, cidr := range p.podCIDRs(p.self) {
		p.attach(cidr)
	}
	if p.vtep == [2]netip.Addr{} {
		p.Waits = true
		return
	}
	p.attached = p.carries
	for _, n := range nodes[1:] {
		p.join(n)
	}
	p.finish()
}

// join makes ways to all pods of a peer that belong to it.
func (p *Planner) join(n *Node) {
	for _, cidr := range p.podCIDRs(n) {
		if p.vtep[inet.FamilyOf(cidr.Addr())].IsValid() { // else nobody here could answer
			p.reach(n, cidr)
		}
	}
}

// put notes what Update has to compare.
func (p *Planner) put(e Entry) {
	p.Entries.Put(e)
	if p.touched != nil {
		p.touched[e.Key()] = struct{}{}
	}
}

// inOrder returns self and then the peers from the newest to the oldest, the
// order in which they may claim addresses. A node never gives up its own, or
// its pods would lose each other.
func inOrder(self *Node, peers []Node) []*Node {
	nodes := make([]*Node, 0, len(peers)+1)
	for i := range peers {
		if peers[i].Name != self.Name {
			nodes = append(nodes, &peers[i])
		}
	}
	slices.SortFunc(nodes, func(a, b *Node) int {
		return cmp.Or(b.Created.Compare(a.Created), cmp.Compare(a.Name, b.Name))
	})
	return slices.Insert(nodes, 0, self)
}

// ready notes what the node itself lacks.
func (p *Planner) ready() bool {
	if len(p.self.PodCIDRs) == 0 {
		p.add(p.self.Name, fieldPodCIDRs, "this node has none yet, so that its overlay waits")
		p.Waits = true
	}
	for _, f := range inet.Families() {
		p.own[f] = p.self.Address(f)
	}
	if !p.own[inet.IPv4].IsValid() && !p.own[inet.IPv6].IsValid() {
		p.add(p.self.Name, fieldUnderlay, "this node has no address yet, so that its overlay waits")
		p.Waits = true
	}
	return !p.Waits
}

// attach gives the node a VTEP address: the first one of its pod CIDR, which no
// pod gets.
func (p *Planner) attach(cidr netip.Prefix) {
	f := inet.FamilyOf(cidr.Addr())
	p.vtep[f] = cidr.Addr()
	p.VTEPs = append(p.VTEPs, cidr.Addr())
	if p.cfg.Mode == HostGateway {
		return
	}
	if !p.own[f].IsValid() {
		f = f.Other()
	}
	p.carry(f, cidr.Addr())
}

// carry makes a device carry the family of a pod address, for which it has the
// VTEP address of that family.
func (p *Planner) carry(device inet.Family, pod netip.Addr) bool {
	pods := inet.FamilyOf(pod)
	if pods == inet.IPv6 && p.mtu[device] < minMTU6 {
		return false // said so by measure
	}
	if !p.carries[device][pods] {
		p.carries[device][pods] = true
		p.put(Entry{Kind: Address, Device: p.cfg.device(device), Dst: Single(p.vtep[pods])})
	}
	return true
}

// reach makes a way to the pods of a peer.
func (p *Planner) reach(n *Node, cidr netip.Prefix) {
	if p.cfg.Mode != VXLAN {
		f := inet.FamilyOf(cidr.Addr())
		via := n.Address(f)
		if link := p.net.onLink(p.own[f], via); via.IsValid() && via != p.own[f] && link != nil {
			p.put(Entry{Kind: Route, Device: link.Name, Dst: cidr, Via: via, Metric: metric(f)})
			return
		}
		if p.cfg.Mode == HostGateway {
			p.add(n.Name, fieldUnderlay, "%s is not reached: host-gw needs an %s address in a subnet of this node", cidr, f)
			return
		}
	}
	p.tunnel(n, cidr)
}

// tunnel prefers the underlay of the pods' own family, as flannel does.
func (p *Planner) tunnel(n *Node, cidr netip.Prefix) {
	pods := inet.FamilyOf(cidr.Addr())
	for _, f := range [2]inet.Family{pods, pods.Other()} {
		local, remote := p.own[f], n.Address(f)
		if !local.IsValid() || !remote.IsValid() {
			continue
		}
		if local == remote {
			p.add(n.Name, fieldUnderlay, "%s is this node's own address", remote)
			return
		}
		mac := n.mac(f)
		if mac == p.self.mac(f) || !mac.unicast() {
			p.add(n.Name, fieldMAC, "%s is this node's own, or none that a node can have", mac)
			return
		}
		fdb := Entry{Kind: FDB, Device: p.cfg.device(f), MAC: mac, Via: remote}
		if other, taken := p.Entries[fdb.Key()]; taken && other.Via != remote {
			p.add(n.Name, fieldMAC, "%s is also that of the node with address %s", mac, other.Via)
			return
		}
		if !p.carry(f, cidr.Addr()) {
			return
		}
		gateway := gateway(cidr, mac)
		p.put(fdb)
		p.put(Entry{Kind: Neighbour, Device: fdb.Device, Dst: Single(gateway), MAC: mac})
		p.put(Entry{Kind: Route, Device: fdb.Device, Dst: cidr, Via: gateway, OnLink: pods == inet.IPv4, Metric: metric(pods)})
		return
	}
	p.add(n.Name, fieldUnderlay, "%s is not reached: no address of a family that this node has, too", cidr)
}

// gateway returns the address by which routes name a peer. It stays on this node.
// In IPv4 it is the peer's VTEP address. In IPv6 it is a link-local address made
// of the MAC (RFC 4291, appendix A): one with global scope is refused where any
// other route, but the default route, covers it (ip6_route_check_nh_onlink).
func gateway(cidr netip.Prefix, mac MAC) netip.Addr {
	if cidr.Addr().Is4() {
		return cidr.Addr()
	}
	return netip.AddrFrom16([16]byte{0xfe, 0x80, 8: mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]})
}

// metric returns what the kernel gives to routes that are added without one.
func metric(f inet.Family) uint32 {
	if f == inet.IPv4 {
		return 0
	}
	return 1024 // IP6_RT_PRIO_USER
}

// finish lists the devices that turned out to be needed.
func (p *Planner) finish() {
	for _, f := range inet.Families() {
		if p.carries[f] == [2]bool{} {
			continue
		}
		p.Devices = append(p.Devices, Device{
			Name: p.cfg.device(f), VNI: p.cfg.VNI, Port: p.cfg.Port,
			Local: p.own[f], MAC: p.self.mac(f), MTU: p.mtu[f], Lower: p.cfg.TakeOver,
		})
		p.Tunnel.Port = p.cfg.Port
		p.Tunnel.Own = append(p.Tunnel.Own, p.own[f])
	}
	p.setMTU()
}
