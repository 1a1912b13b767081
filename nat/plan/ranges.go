// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"cmp"
	"net/netip"
	"slices"

	"fairlead/internal/inet"
	"fairlead/internal/merge"
)

// group holds ranges to delete and to add that overlap each other. They have to be in
// one batch, the deletions first.
type group struct{ dels, adds []netip.Prefix }

// groups sorts two lists of prefixes of one family and groups those that overlap.
func groups(dels, adds []netip.Prefix) []group {
	type item struct {
		netip.Prefix
		add bool
	}
	items := make([]item, 0, len(dels)+len(adds))
	for _, p := range dels {
		items = append(items, item{p, false})
	}
	for _, p := range adds {
		items = append(items, item{p, true})
	}
	slices.SortFunc(items, func(a, b item) int {
		return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
	})
	var out []group
	var end netip.Addr // of the newest group
	for _, it := range items {
		if len(out) == 0 || end.Less(it.Addr()) {
			out = append(out, group{})
		}
		if last := inet.LastAddr(it.Prefix); !end.IsValid() || end.Less(last) {
			end = last
		}
		g := &out[len(out)-1]
		if it.add {
			g.adds = append(g.adds, it.Prefix)
		} else {
			g.dels = append(g.dels, it.Prefix)
		}
	}
	return out
}

// without returns the members of list that are not in other, and those that are in
// anyway.
func without(list, other, anyway []netip.Prefix) []netip.Prefix {
	if len(list) == 0 {
		return nil
	}
	in := make(map[netip.Prefix]struct{}, len(other))
	for _, p := range other {
		in[p] = struct{}{}
	}
	for _, p := range anyway {
		delete(in, p)
	}
	var out []netip.Prefix
	for _, p := range list {
		if _, ok := in[p]; !ok {
			out = append(out, p)
		}
	}
	return out
}

// lacking returns the members of a sorted list that another one lacks, which is sorted, too.
func lacking(list, other []netip.Prefix) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range list {
		for len(other) > 0 && other[0].Compare(p) < 0 {
			other = other[1:]
		}
		if len(other) == 0 || other[0] != p {
			out = append(out, p)
		}
	}
	return out
}

// contains reports whether an address lies in one of the prefixes, which are sorted and do
// not overlap.
func contains(sorted []netip.Prefix, ip netip.Addr) bool {
	i, found := slices.BinarySearchFunc(sorted, ip, func(p netip.Prefix, ip netip.Addr) int { return p.Addr().Compare(ip) })
	return found || i > 0 && sorted[i-1].Contains(ip)
}

// inOne returns the prefixes that only one of two sorted lists has, without those that lie
// in another one, sorted.
func inOne(a, b []netip.Prefix) []netip.Prefix {
	var out []netip.Prefix
	take := func(p netip.Prefix) {
		if n := len(out); n == 0 || !out[n-1].Overlaps(p) { // the wider of two comes first
			out = append(out, p)
		}
	}
	for ofA, ofB := range merge.Sorted(a, b, netip.Prefix.Compare, nil) {
		switch {
		case ofB == nil:
			take(*ofA)
		case ofA == nil:
			take(*ofB)
		}
	}
	return out
}
