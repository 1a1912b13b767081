// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nat_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"fairlead/internal/lab"
	"fairlead/nat/kernel"
)

// forged returns addresses that the pod client does not have, by whose they are. On a
// bridge, the node cannot tell its pods apart by their interface.
func (b *bed) forged(family int, link lab.PodLink) map[string]netip.Addr {
	out := map[string]netip.Addr{
		"a stranger":       [2]netip.Addr{netip.MustParseAddr("203.0.113.7"), netip.MustParseAddr("2001:db8:113::7")}[family],
		"its node":         second[family],
		"another node":     b.other.Addrs()[family],
		"a pod elsewhere":  b.there.Addrs()[family],
		"its node's pods'": b.gateway(family),
	}
	if link == lab.PTP {
		out["its neighbour"] = b.web.Addrs()[family]
	}
	return out
}

// TestPacketSourceCheck has a pod send with addresses that are not its own, first
// unchecked. Each forged packet is followed by an honest one, which must arrive. Every
// forged packet that is dropped is counted, and no honest one.
func TestPacketSourceCheck(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		link         lab.PodLink
		podInterface string
	}{"ptp": {lab.PTP, "veth*"}, "bridge": {lab.Bridge, "cni0"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t, tt.link)
			set := b.settings()
			for _, checked := range []bool{false, true} {
				if checked {
					set.CheckedInterfaces = []string{tt.podInterface}
				}
				b.configure(t, set)
				for family := range ipFamilies {
					b.expectSources(t, family, tt.link, checked)
				}
			}
		})
	}
}

func (b *bed) expectSources(t *testing.T, family int, link lab.PodLink, checked bool) {
	t.Helper()
	port := control + 2*uint16(family)
	if checked {
		port += 4 // the first listeners still have their ports
	}
	ears := [2]*datagrams{listen(t, b.Outside, family, port), listen(t, b.Outside, family, port+1)}
	to := func(i uint16) netip.AddrPort { return netip.AddrPortFrom(b.Outside.Addrs()[family], port+i) }
	honest := speak(t, b.client.Host, b.client.Addrs()[family])
	before := b.counted(t)
	for range 5 {
		ears[1].deliver(t, "honest", func() error { return honest.send(to(1), "honest") })
	}
	if n := b.counted(t) - before; n > 0 {
		t.Errorf("%s: %d honest packets are counted", ipFamilies[family], n)
	}
	for whose, ip := range b.forged(family, link) {
		if !checked {
			check(t, b.client.AddAddr("lo", single(ip)))
		}
		text := fmt.Sprintf("from the address of %s, checked: %v", whose, checked)
		liar := speak(t, b.client.Host, ip)
		seen := false
		before := b.counted(t)
		for range 3 { // a datagram may get lost for other reasons
			ears[1].deliver(t, text, func() error {
				return errors.Join(liar.send(to(0), text), honest.send(to(1), text))
			})
			_, got := ears[0].take(t, text)
			seen = seen || got
		}
		if n := b.counted(t) - before; checked && n < 3 || !checked && n > 0 {
			t.Errorf("%s %s: %d packets are counted, of 3", ipFamilies[family], text, n)
		}
		if isOwn := b.isOwn(ip); seen == checked && (!isOwn || seen) {
			t.Errorf("%s %s: arrived: %v, want %v", ipFamilies[family], text, seen, !checked)
		}
	}
}

// counted returns how many packets the source check has dropped.
func (b *bed) counted(t *testing.T) uint64 {
	t.Helper()
	n, err := kernel.ForgedPackets(b.node.NS)
	check(t, err)
	return n
}

// isOwn reports whether node-1 has the address. In IPv4 the kernel itself drops what
// comes from there by a wire.
func (b *bed) isOwn(ip netip.Addr) bool {
	own := slices.Concat(b.node.Addrs(), second[:], []netip.Addr{b.gateway(0), b.gateway(1)})
	return slices.Contains(own, ip)
}
