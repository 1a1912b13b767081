// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"net/netip"
	"slices"

	"fairlead/internal/inet"
)

// maxUpdate is the number of changes above which a new plan is cheaper.
const maxUpdate = 256

// Update changes p into the plan for a list of nodes that differs from the last one in
// a few peers. Besides one comparison per node, its cost depends on these peers alone.
// touched then has the keys of all entries that may have changed.
//
// Update works only while the peers that changed and the others do not depend on each
// other: no contested address or range, and no device that only some peers need. Otherwise
// it returns false, and p must not be used again. Update therefore has no rules of its own
// and agrees with a new plan (FuzzEvents).
func (p *Planner) Update(self *Node, peers []Node) bool {
	if !p.independent() || !p.self.Equal(self) {
		return false
	}
	gone, came, ok := p.changes(self, peers)
	return ok && p.exchange(gone, came)
}

// Change is Update for a caller that knows which peers appeared or changed, and the names
// of those that are gone. Its cost does not depend on the number of nodes, apart from
// moving addresses in one sorted list. No name may be listed twice.
func (p *Planner) Change(self *Node, peers []Node, names []string) bool {
	if !p.independent() || !p.self.Equal(self) {
		return false
	}
	var gone, came []*Node
	for _, name := range names {
		if old := p.known[name]; old != nil {
			gone = append(gone, &old.Node)
		}
	}
	for i := range peers {
		n := &peers[i]
		old := p.known[n.Name]
		if n.Name == p.self.Name || old != nil && old.Equal(n) {
			continue
		}
		if old != nil {
			gone = append(gone, &old.Node)
		}
		came = append(came, n)
	}
	return p.exchange(gone, came)
}

// exchange plans peers that came instead of those that are gone.
func (p *Planner) exchange(gone, came []*Node) bool {
	if len(gone)+len(came) > maxUpdate {
		return false
	}
	p.touched = map[Key]struct{}{}
	for _, n := range gone {
		if !p.leave(n) {
			return false
		}
		delete(p.known, n.Name)
	}
	tangled, carries := p.tangle.times, p.carries
	for _, n := range came {
		if !p.fits(n) {
			return false
		}
		before := len(p.problems)
		p.join(n)
		p.settle(before)
		p.known[n.Name] = &knownNode{*n, p.pass}
	}
	p.Tunnel.Nodes = p.book.distinct
	return p.tangle.times == tangled && p.carries == carries
}

// independent reports whether the entries of each peer, apart from those in a tangle,
// depend on that peer alone.
func (p *Planner) independent() bool {
	return !p.Waits && p.owners != nil && len(p.owners.lengths[inet.IPv4]) <= 1 && len(p.owners.lengths[inet.IPv6]) <= 1 && p.carries == p.attached && !p.tangle.all
}

// Remember notes the peers of a new plan for Update.
func (p *Planner) Remember(peers []Node) {
	p.known = make(map[string]*knownNode, len(peers))
	for i := range peers {
		if peers[i].Name != p.self.Name {
			p.known[peers[i].Name] = &knownNode{Node: peers[i]}
		}
	}
}

// changes returns the peers that were removed and those that are new. A peer that
// changed is in both lists.
func (p *Planner) changes(self *Node, peers []Node) (gone, came []*Node, ok bool) {
	p.pass++
	seen := 0
	for i := range peers {
		n := &peers[i]
		if n.Name == self.Name {
			continue
		}
		old, known := p.known[n.Name]
		if known {
			if old.pass == p.pass {
				return nil, nil, false // named twice
			}
			old.pass = p.pass
			seen++
			if old.Equal(n) {
				continue
			}
			gone = append(gone, &old.Node)
		}
		came = append(came, n)
	}
	if seen < len(p.known) {
		for _, old := range p.known {
			if old.pass != p.pass {
				gone = append(gone, &old.Node)
			}
		}
	}
	return gone, came, true
}

// Equal reports whether peers see no difference between n and o.
func (n *Node) Equal(o *Node) bool {
	return n.Name == o.Name && n.Created.Equal(o.Created) && n.VTEPs == o.VTEPs &&
		slices.Equal(n.PodCIDRs, o.PodCIDRs) && slices.Equal(n.Underlay, o.Underlay)
}

// leave removes a peer's entries, which it finds by planning the peer alone.
func (p *Planner) leave(n *Node) bool {
	if n.VTEPs != [2]MAC{} || p.tangle.has(n, &p.owners.lengths) {
		return false // two nodes may have the same one, and the same entry
	}
	for _, a := range n.Underlay {
		if p.book.count(a.Unmap()) > 1 {
			return false // their owners are planned together, see fits
		}
	}
	alone := *p
	alone.Entries, alone.problems, alone.carries = Entries{}, nil, p.attached
	alone.owners = newClaims(nil)
	alone.book, alone.tangle = addressBook{}, tangle{}
	alone.join(n)
	if alone.carries != p.attached || alone.tangle.times > 0 {
		return false
	}
	p.drop(n.Name)
	for k := range alone.Entries {
		delete(p.Entries, k)
		p.touched[k] = struct{}{}
	}
	for _, cidr := range n.PodCIDRs {
		if cidr = cidr.Masked(); p.owners.owner[cidr] == n.Name { // a node may list more than it can have
			delete(p.owners.owner, cidr)
		}
	}
	for _, a := range n.Underlay {
		if a.IsValid() {
			p.book.remove(a.Unmap())
		}
	}
	return true
}

// fits adds a peer's addresses to the book. It returns false if they, or the length of
// its pod CIDRs, affect other peers.
func (p *Planner) fits(n *Node) bool {
	if n.VTEPs != [2]MAC{} || p.tangle.has(n, &p.owners.lengths) {
		return false
	}
	for _, cidr := range n.PodCIDRs {
		if !cidr.IsValid() || !slices.Contains(p.owners.lengths[inet.FamilyOf(cidr.Addr())], cidr.Bits()) {
			return false
		}
	}
	for _, a := range n.Underlay {
		if a = a.Unmap(); !a.IsValid() {
			continue
		}
		if p.book.count(a) > 0 {
			return false
		}
		for _, bits := range p.owners.lengths[inet.FamilyOf(a)] {
			if _, inside := p.owners.owner[netip.PrefixFrom(a, bits).Masked()]; inside {
				return false
			}
		}
		p.book.insert(a)
	}
	return true
}

// Diff returns the steps that the last Update made necessary.
func (p *Planner) Diff(have Entries) []Step {
	var d differ
	for k := range p.touched {
		d.compare(k, have, p.Entries)
	}
	return d.steps()
}
