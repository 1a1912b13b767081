// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nat

import (
	"net/netip"
	"slices"
)

func hasFamily(ps []netip.Prefix, f family) bool {
	return slices.ContainsFunc(ps, func(p netip.Prefix) bool { return familyOf(p.Addr()) == f })
}

// normalise returns the prefixes of one family, masked, sorted and without
// those that lie inside another one: the kernel refuses overlapping intervals.
func normalise(ps []netip.Prefix, f family) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range ps {
		if p.IsValid() && familyOf(p.Addr()) == f {
			out = append(out, p.Masked())
		}
	}
	slices.SortFunc(out, netip.Prefix.Compare)
	kept := out[:0]
	for _, p := range out {
		// Sorted by address, then length: whatever contains p came before it.
		if n := len(kept); n == 0 || !kept[n-1].Overlaps(p) {
			kept = append(kept, p)
		}
	}
	return kept
}

// lastAddr returns the highest address of p.
func lastAddr(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := range b {
		if host := (i+1)*8 - p.Bits(); host > 0 {
			b[i] |= byte(0xff >> max(8-host, 0))
		}
	}
	last, _ := netip.AddrFromSlice(b)
	return last
}

// spanned returns the prefix from first to last, if these are the ends of one.
func spanned(first, last netip.Addr) (netip.Prefix, bool) {
	for n := range first.BitLen() + 1 {
		if p, err := first.Prefix(n); err == nil && p.Addr() == first && lastAddr(p) == last {
			return p, true
		}
	}
	return netip.Prefix{}, false
}
