// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package inet

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

// TestAddrPorts packs random lists, of one family and of several, and reads them again.
func TestAddrPorts(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	some := []netip.Addr{
		netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("255.255.255.255"), netip.IPv4Unspecified(),
		netip.MustParseAddr("fd00::1"), netip.IPv6Unspecified(), netip.MustParseAddr("::ffff:10.0.0.1"), {},
	}
	for range 5000 {
		kinds := []int{4, 6, len(some)}[r.IntN(3)]
		var list []netip.AddrPort
		for range r.IntN(6) {
			list = append(list, netip.AddrPortFrom(some[r.IntN(kinds)], uint16(r.IntN(3)*32767)))
		}
		slices.SortFunc(list, netip.AddrPort.Compare)
		packed := PackAddrPorts(len(list), func(i int) netip.AddrPort { return list[i] })
		if got := packed.List(); !slices.Equal(got, list) || packed.Len() != len(list) {
			t.Fatalf("%v became %v", list, got)
		}
		for _, addr := range some {
			item := netip.AddrPortFrom(addr, 32767)
			if packed.Has(item) != slices.Contains(list, item) {
				t.Fatalf("Has(%s) of %v is %v", item, list, packed.Has(item))
			}
		}
		if again := PackAddrPorts(len(list), func(i int) netip.AddrPort { return list[i] }); again != packed {
			t.Fatalf("%v is packed in two ways", list)
		}
	}
}
