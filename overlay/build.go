// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"cmp"
	"net/netip"
	"slices"

	"fairlead/internal/inet"
)

// NewPlan returns what the kernel of node self has to hold so that its pods and those
// of peers reach each other, and the problems that prevent it in part. It is a pure
// function, and the order of peers does not matter.
func NewPlan(cfg Config, net Underlay, self Node, peers []Node) (Plan, []Problem) {
	p := NewPlanner(cfg, net, self, peers)
	return p.Plan, p.problems
}

// NewPlanner makes a plan like NewPlan, for callers that go on with Update.
func NewPlanner(cfg Config, net Underlay, self Node, peers []Node) *Planner {
	p := &Planner{cfg: cfg.WithDefaults(), net: net, self: &self}
	p.Entries = make(Entries, 4*len(peers)+2)
	p.Protocol = p.cfg.Protocol
	nodes := inOrder(&self, peers)
	p.book = newAddressBook(nodes)
	p.Tunnel.Nodes = p.book.distinct
	p.checkConfig()
	if p.cfg.Mode != None && p.ready() {
		p.build(nodes)
	}
	p.problems = p.sorted()
	return p
}

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

// inOrder returns self, then the peers from the newest to the oldest: the order in
// which nodes claim addresses. This node comes first, because its pods would lose each
// other if it gave up its own range.
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

// ready reports whether the node itself has what the overlay needs, and notes what it
// lacks.
func (p *Planner) ready() bool {
	if len(p.self.PodCIDRs) == 0 {
		p.add(p.self.Name, fieldPodCIDRs, "this node has none yet, so its overlay waits")
		p.Waits = true
	}
	p.setLocal()
	if !p.own[inet.IPv4].IsValid() && !p.own[inet.IPv6].IsValid() {
		p.add(p.self.Name, fieldUnderlay, "this node has no address yet, so its overlay waits")
		p.Waits = true
	}
	return !p.Waits
}

// finish lists the devices that carry anything.
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
