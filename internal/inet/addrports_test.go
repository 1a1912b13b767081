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

// TestPatch changes random lists, and compares the outcome with a list that is packed anew. Two lists have in
// common what they begin with.
func TestPatch(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 2))
	random := func(kinds int) (out []netip.AddrPort) {
		for range r.IntN(700) {
			addr := netip.AddrFrom4([4]byte{10, 0, byte(r.IntN(4)), byte(r.IntN(256))})
			if r.IntN(2) < kinds {
				addr = netip.AddrFrom16(addr.As16())
			}
			out = append(out, netip.AddrPortFrom(addr, 80))
		}
		slices.SortFunc(out, netip.AddrPort.Compare)
		return slices.Compact(out)
	}
	without := func(a, b []netip.AddrPort) []netip.AddrPort {
		return slices.DeleteFunc(slices.Clone(a), func(x netip.AddrPort) bool { return slices.Contains(b, x) })
	}
	for range 500 {
		was := random(r.IntN(3))
		now := slices.Concat(was, random(r.IntN(3)))
		slices.SortFunc(now, netip.AddrPort.Compare)
		now = slices.Compact(now)
		for range r.IntN(1 + len(now)) {
			i := r.IntN(len(now))
			now = slices.Delete(now, i, i+1)
		}
		old, want := AddrPortsOf(was...), AddrPortsOf(now...)
		if got, ok := old.Patch(without(was, now), without(now, was)); !ok || got != want {
			t.Fatalf("%v became %v, want %v", was, got.List(), now)
		}
		for name, wrong := range map[string]func() (AddrPorts, bool){
			"removes what is not there": func() (AddrPorts, bool) { return old.Patch(without(now, was), nil) },
			"adds what is there":        func() (AddrPorts, bool) { return want.Patch(nil, now) },
		} {
			if _, ok := wrong(); ok && len(without(now, was)) > 0 {
				t.Fatalf("a patch %s", name)
			}
		}
		n := old.Common(0, want, 0)
		if !slices.Equal(old.List()[:n], want.List()[:n]) {
			t.Fatalf("%v and %v have %d items in common", was, now, n)
		}
		if more := n < min(len(was), len(now)); more && old.records[0] == want.records[0] && was[n] == now[n] {
			t.Fatalf("%v and %v have more than %d items in common", was, now, n)
		}
	}
}
