// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"net/netip"
	"slices"
	"testing"

	"fairlead/internal/nft"
	"fairlead/nat/nattest"
)

// TestRanges writes ranges and reads them back.
func TestRanges(t *testing.T) {
	for _, ps := range [][]netip.Prefix{
		nattest.Prefixes("0.0.0.0/0"), nattest.Prefixes("10.0.0.0/9", "10.128.0.0/9"), nattest.Prefixes("240.0.0.0/4"),
		nattest.Prefixes("192.0.2.1/32", "192.0.2.2/31"), nattest.Prefixes("::/0"), nattest.Prefixes("fd00::/8", "ff00::/8"),
	} {
		var bounds []bound
		for _, p := range ps {
			for _, end := range []bool{false, true} {
				var el nft.Element
				if !encodeBound(&el, p, end, nil) {
					continue
				}
				b, skip, ok := readBound(&el)
				if skip || !ok {
					t.Errorf("bound of %s: skip %v, ok %v", p, skip, ok)
				}
				bounds = append(bounds, b)
			}
		}
		slices.Reverse(bounds)
		if got, ok := readRanges(bounds); !ok || !slices.Equal(got, ps) {
			t.Errorf("readRanges = %v, %v, want %v", got, ok, ps)
		}
	}
	odd := []bound{{at: netip.MustParseAddr("10.0.0.1")}, {at: netip.MustParseAddr("10.0.0.4"), end: true}}
	if got, ok := readRanges(odd); ok {
		t.Errorf("10.0.0.1-10.0.0.3 was read as %v", got)
	}
}
