// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nat_test

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"fairlead/nat"
)

// TestPatchBackends changes random lists. Two lists have in common what they begin with.
func TestPatchBackends(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 3))
	random := func() (out []nat.Backend) {
		for range r.IntN(300) {
			addr := netip.AddrFrom4([4]byte{10, 0, 0, byte(r.IntN(256))})
			if r.IntN(8) == 0 {
				addr = netip.AddrFrom16(addr.As16())
			}
			out = append(out, nat.BackendAt(netip.AddrPortFrom(addr, 80+uint16(r.IntN(2))), r.IntN(3) == 0))
		}
		slices.SortFunc(out, nat.Backend.CompareAddr)
		if !slices.IsSortedFunc(out, func(a, b nat.Backend) int { return a.AddrPort().Compare(b.AddrPort()) }) {
			t.Fatal("CompareAddr differs from the order of netip.AddrPort")
		}
		return slices.CompactFunc(out, func(a, b nat.Backend) bool { return a.CompareAddr(b) == 0 })
	}
	without := func(a, b []nat.Backend) []nat.Backend {
		return slices.DeleteFunc(slices.Clone(a), func(x nat.Backend) bool { return slices.Contains(b, x) })
	}
	for range 1000 {
		was, now := random(), random()
		gone, came := without(was, now), without(now, was)
		if got, ok := nat.PatchBackends(was, gone, came); !ok || !slices.Equal(got, now) {
			t.Fatalf("%v became %v, want %v", was, got, now)
		}
		if _, ok := nat.PatchBackends(was, came, nil); ok && len(came) > 0 {
			t.Fatal("a backend was removed that was not there")
		}
		if _, ok := nat.PatchBackends(now, nil, now); ok && len(now) > 0 {
			t.Fatal("a backend was added twice")
		}
		n := nat.CommonBackends(was, now)
		if !slices.Equal(was[:n], now[:n]) || n < min(len(was), len(now)) && was[n] == now[n] {
			t.Fatalf("%v and %v have %d backends in common", was, now, n)
		}
	}
}
