// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"net/netip"

	"fairlead/internal/inet"
)

// tangle knows which peers depend on each other, so that a change of any other peer can
// be planned alone. Most problems of a peer are of that peer alone: it has no pod CIDR yet,
// or no address of a family that this node has.
type tangle struct {
	// names are the nodes that claim a range which another one has, and the owners.
	names map[string]struct{}
	// ranges are pod CIDRs that contain the address of some node.
	ranges map[netip.Prefix]struct{}
	// all is set when any peer may depend on any other.
	all bool
	// times counts the dependencies that were found.
	times int
}

// contest notes that two nodes claim one range.
func (t *tangle) contest(names ...string) {
	t.times++
	if t.names == nil {
		t.names = map[string]struct{}{}
	}
	for _, name := range names {
		t.names[name] = struct{}{}
	}
}

// spoil notes that a pod CIDR of a node contains the address of a node.
func (t *tangle) spoil(name string, cidr netip.Prefix) {
	t.contest(name)
	if t.ranges == nil {
		t.ranges = map[netip.Prefix]struct{}{}
	}
	t.ranges[cidr] = struct{}{}
}

// mix notes a dependency between peers that have no name here.
func (t *tangle) mix() {
	t.times++
	t.all = true
}

// has reports whether other peers may depend on a node. The lengths are those of all pod
// CIDRs, by family.
func (t *tangle) has(n *Node, lengths *[2][]int) bool {
	if _, is := t.names[n.Name]; is || t.all {
		return true
	}
	for _, a := range n.Underlay {
		if a = a.Unmap(); !a.IsValid() || len(t.ranges) == 0 {
			continue
		}
		for _, bits := range lengths[inet.FamilyOf(a)] {
			if _, inside := t.ranges[netip.PrefixFrom(a, bits).Masked()]; inside {
				return true
			}
		}
	}
	return false
}
