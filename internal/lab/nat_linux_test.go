// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package lab_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"fairlead/internal/inet"
	"fairlead/internal/lab"
	"fairlead/internal/lab/labtest"
	"fairlead/internal/nstest"
)

// TestSameNodeNAT dials a virtual address from a pod beside its backend. The
// reply must come back through the node, whatever links the pods.
func TestSameNodeNAT(t *testing.T) {
	for name, link := range map[string]lab.PodLink{"ptp": lab.PTP, "bridge": lab.Bridge} {
		t.Run(name, func(t *testing.T) {
			c := labtest.New(t, lab.Config{Nodes: 1, IPv6: true, PodLink: link})
			node := c.Nodes[0]
			client := labtest.Pod(t, node, "client", 80)
			server := labtest.Pod(t, node, "server", 8080, protos...)
			vips := []netip.Addr{netip.MustParseAddr("10.96.0.10"), netip.MustParseAddr("fd00:10:96::10")}
			dnat(t, node, vips, server.Addrs())
			for i, vip := range vips {
				for _, proto := range protos {
					at := inet.Addr{IP: vip, Port: 80, Proto: proto}
					if got, want := client.Try(labtest.Patient(t), at), "server saw "+client.Addrs()[i].String(); got != want {
						t.Errorf("%s: got %q, want %q", at, got, want)
					}
				}
				if err := c.RouteVIPs(netip.PrefixFrom(vip, vip.BitLen()), node); err != nil {
					t.Fatal(err)
				}
				at := inet.Addr{IP: vip, Port: 80, Proto: inet.TCP}
				if got, want := c.Outside.Try(labtest.Patient(t), at), "server saw "+c.Outside.Addrs()[i].String(); got != want {
					t.Errorf("outside to %s: got %q, want %q", at, got, want)
				}
			}
		})
	}
}

// dnat rewrites port 80 of each VIP to port 8080 of the backend of its family.
func dnat(t *testing.T, node *lab.Node, vips, backends []netip.Addr) {
	t.Helper()
	cmd := nstest.Command(t, node.NS, "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(fmt.Sprintf(`
		table inet lab {
			chain nat {
				type nat hook prerouting priority dstnat;
				ip daddr %s meta l4proto { tcp, udp, sctp } th dport 80 dnat ip to %s:8080
				ip6 daddr %s meta l4proto { tcp, udp, sctp } th dport 80 dnat ip6 to [%s]:8080
			}
		}`, vips[0], backends[0], vips[1], backends[1]))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("nft: %v\n%s", err, out)
	}
}
