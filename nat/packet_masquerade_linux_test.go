// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nat_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"fairlead/internal/inet"
	"fairlead/internal/lab"
	"fairlead/internal/nstest"
	"fairlead/nat"
)

// newMasquerade returns a bed with tunnels and masquerade of every kind: node-1 is
// the way from the pod to the world, and serves a NodePort whose endpoint is on
// node-2.
func newMasquerade(t *testing.T) (*bed, [2]inet.Addr) {
	t.Helper()
	b := newBed(t, lab.PTP)
	set := b.settings()
	set.Egress = nat.Egress{Sources: b.node.PodCIDRs}
	set.Tunnels = nat.Tunnels{Port: vxlan, Addrs: b.node.Addrs(), PodInterfaces: []string{"veth*"}}
	b.state.SetNodes(slices.Concat(b.node.Addrs(), b.other.Addrs()))
	b.configure(t, set)
	var nodePort [2]inet.Addr
	for family := range ipFamilies {
		all := [2]netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}[family]
		b.serve(t, nat.External, at(all, 30053, inet.UDP), netip.AddrPortFrom(b.there.Addrs()[family], podPort), false)
		nodePort[family] = at(b.node.Addrs()[family], 30053, inet.UDP)
	}
	return b, nodePort
}

// TestPacketMasqueradeForced lets another program masquerade flows with the port of
// the tunnels. Their replies come from strangers and from pods.
func TestPacketMasqueradeForced(t *testing.T) {
	t.Parallel()
	b, nodePort := newMasquerade(t)
	for _, port := range []int{control, vxlan} {
		cmd := nstest.Command(t, b.node.NS, "nft", "-f", "-")
		cmd.Stdin = strings.NewReader(fmt.Sprintf(`
			table inet other
			delete table inet other
			table inet other {
				chain post {
					type nat hook postrouting priority 99;
					udp dport { %d, %d } masquerade to :%d
				}
			}`, hostPort, podPort, port))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("nft: %v\n%s", err, out)
		}
		for family, name := range ipFamilies {
			t.Run(fmt.Sprintf("%s from %d", name, port), func(t *testing.T) {
				saw := b.node.Addrs()[family].String()
				world := at(b.Outside.Addrs()[family], hostPort, inet.UDP)
				expect(t, b.client.Host, netip.Addr{}, world, "outside saw "+saw)
				expect(t, b.Outside, netip.Addr{}, nodePort[family], "there saw "+saw)
			})
		}
	}
}

// TestPacketMasqueradePorts reads the source ports that the kernel draws.
func TestPacketMasqueradePorts(t *testing.T) {
	t.Parallel()
	b, nodePort := newMasquerade(t)
	for family, name := range ipFamilies {
		t.Run(name, func(t *testing.T) {
			world := at(b.Outside.Addrs()[family], hostPort, inet.UDP)
			for range 100 {
				for from, to := range map[*lab.Host]inet.Addr{b.client.Host: world, b.Outside: nodePort[family]} {
					c := open(t, from, to)
					if got := c.Reply.Source; got.Port() <= vxlan || got.Addr() != b.node.Addrs()[family] {
						t.Errorf("%s to %s came from %s, want a port above %d", from.Name, to, got, vxlan)
					}
					check(t, c.Close())
				}
			}
		})
	}
}
