// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package inet

import (
	"net/netip"
	"slices"
)

// HasFamily reports whether a prefix of ps is of the family.
func HasFamily(ps []netip.Prefix, f Family) bool {
	return slices.ContainsFunc(ps, func(p netip.Prefix) bool { return FamilyOf(p.Addr()) == f })
}

// Normalize returns the prefixes of one family, masked, sorted and without
// those that lie inside another one: the kernel refuses overlapping intervals.
func Normalize(ps []netip.Prefix, f Family) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range ps {
		if p.IsValid() && FamilyOf(p.Addr()) == f {
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

// LastAddr returns the highest address of p.
func LastAddr(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := range b {
		if host := (i+1)*8 - p.Bits(); host > 0 {
			b[i] |= byte(0xff >> max(8-host, 0))
		}
	}
	last, _ := netip.AddrFromSlice(b)
	return last
}

// Spanned returns the prefix from first to last, if these are the ends of one.
func Spanned(first, last netip.Addr) (netip.Prefix, bool) {
	for n := range first.BitLen() + 1 {
		if p, err := first.Prefix(n); err == nil && p.Addr() == first && LastAddr(p) == last {
			return p, true
		}
	}
	return netip.Prefix{}, false
}
