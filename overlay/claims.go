// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"net/netip"
	"slices"

	"fairlead/internal/inet"
)

// claims assigns pod CIDRs to nodes without overlaps. A lookup costs a few map
// accesses, independent of the number of nodes.
type claims struct {
	lengths [2][]int // prefix lengths in use, by family
	owner   map[netip.Prefix]string
	// around has, for each claimed prefix, all shorter prefixes of a length in use that
	// contain it.
	around map[netip.Prefix]string
}

func newClaims(nodes []*Node) *claims {
	c := &claims{owner: make(map[netip.Prefix]string, 2*len(nodes)), around: map[netip.Prefix]string{}}
	for _, n := range nodes {
		for _, p := range n.PodCIDRs {
			if f := inet.FamilyOf(p.Addr()); p.IsValid() && !slices.Contains(c.lengths[f], p.Bits()) {
				c.lengths[f] = append(c.lengths[f], p.Bits())
			}
		}
	}
	return c
}

// claim gives p to a node, or returns the node that has it or a part of it.
func (c *claims) claim(p netip.Prefix, node string) (owner string, ok bool) {
	if owner, taken := c.around[p]; taken {
		return owner, false
	}
	lengths := c.lengths[inet.FamilyOf(p.Addr())]
	for _, bits := range lengths {
		if bits > p.Bits() {
			continue
		}
		if owner, taken := c.owner[netip.PrefixFrom(p.Addr(), bits).Masked()]; taken {
			return owner, false
		}
	}
	c.owner[p] = node
	for _, bits := range lengths {
		if bits < p.Bits() {
			c.around[netip.PrefixFrom(p.Addr(), bits).Masked()] = node
		}
	}
	return node, true
}

// addressBook has the underlay addresses of all nodes in order. An address of several
// nodes is in it several times.
type addressBook struct {
	all      []netip.Addr
	distinct int // how many different ones there are
}

func newAddressBook(nodes []*Node) addressBook {
	book := addressBook{all: make([]netip.Addr, 0, 2*len(nodes))}
	for _, n := range nodes {
		for _, a := range n.Underlay {
			if a.IsValid() {
				book.all = append(book.all, a.Unmap())
			}
		}
	}
	slices.SortFunc(book.all, netip.Addr.Compare)
	for i, a := range book.all {
		if i == 0 || book.all[i-1] != a {
			book.distinct++
		}
	}
	return book
}

func (b *addressBook) insert(a netip.Addr) {
	i, found := slices.BinarySearchFunc(b.all, a, netip.Addr.Compare)
	b.all = slices.Insert(b.all, i, a)
	if !found {
		b.distinct++
	}
}

func (b *addressBook) remove(a netip.Addr) {
	if i, found := slices.BinarySearchFunc(b.all, a, netip.Addr.Compare); found {
		b.all = slices.Delete(b.all, i, i+1)
		if b.count(a) == 0 {
			b.distinct--
		}
	}
}

// count returns how many nodes have an address, as far as that is more than one.
func (b *addressBook) count(a netip.Addr) int {
	i, found := slices.BinarySearchFunc(b.all, a, netip.Addr.Compare)
	switch {
	case !found:
		return 0
	case i+1 < len(b.all) && b.all[i+1] == a:
		return 2
	}
	return 1
}

// within returns an address that lies in p, if there is one.
func (b *addressBook) within(p netip.Prefix) (netip.Addr, bool) {
	i, _ := slices.BinarySearchFunc(b.all, p.Addr(), netip.Addr.Compare)
	if i < len(b.all) && p.Contains(b.all[i]) {
		return b.all[i], true
	}
	return netip.Addr{}, false
}
