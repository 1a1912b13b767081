// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nat_test

import (
	"maps"
	"net/netip"
	"slices"
	"testing"

	"fairlead/internal/inet"
	"fairlead/internal/lab"
	"fairlead/nat"
)

// TestPacketSourceRanges restricts frontends to ranges of every prefix length: one with
// the client in it, and one beside it.
func TestPacketSourceRanges(t *testing.T) {
	t.Parallel()
	b := newBed(t, lab.PTP)
	b.configure(t, b.settings())
	for family, name := range ipFamilies {
		t.Run(name, func(t *testing.T) {
			vip := second[family]
			client := b.Outside.Addrs()[family]
			in, beside := map[uint16]netip.Prefix{}, map[uint16]netip.Prefix{}
			for bits := 1; bits <= client.BitLen(); bits++ {
				with := netip.PrefixFrom(client, bits).Masked()
				last := with.Addr().AsSlice()
				last[(bits-1)/8] ^= 1 << (7 - (bits-1)%8) // the other half of the range that is one bit shorter
				other, _ := netip.AddrFromSlice(last)
				in[20000+uint16(bits)], beside[21000+uint16(bits)] = with, netip.PrefixFrom(other, bits)
			}
			for _, ports := range []map[uint16]netip.Prefix{in, beside} {
				for port, src := range ports {
					b.state.Set(at(vip, port, inet.UDP), nat.Frontend{
						Policy: nat.External, Owner: "default/web", Restricted: true, Sources: []netip.Prefix{src},
						Backends: []nat.Backend{nat.BackendAt(netip.AddrPortFrom(b.web.Addrs()[family], podPort), true)},
					})
				}
			}
			b.commit(t)
			for port, src := range in {
				if got := dial(t, b.Outside, client, at(vip, port, inet.UDP), answered); got != "web saw "+b.gateway(family).String() {
					t.Errorf("from %s: got %q", src, got)
				}
			}
			ports := slices.Collect(maps.Keys(beside))
			got := make([]string, len(ports))
			done := make(chan struct{})
			for i, port := range ports { // those that wait wait together
				go func() {
					got[i] = dial(t, b.Outside, client, at(vip, port, inet.UDP), silence)
					done <- struct{}{}
				}()
			}
			for range ports {
				<-done
			}
			for i, port := range ports {
				if got[i] != lab.ErrTimeout.Error() {
					t.Errorf("from beside %s: got %q, want a timeout", beside[port], got[i])
				}
			}
		})
	}
}
