// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package lab_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"fairlead/internal/l4"
	"fairlead/internal/lab"
	"fairlead/internal/lab/labtest"
	"fairlead/internal/nstest"
)

func TestMain(m *testing.M) { nstest.Main(m) }

var protos = []l4.Proto{l4.TCP, l4.UDP, l4.SCTP}

// TestReach dials from everywhere to everywhere, without any NAT: nobody's
// address changes.
func TestReach(t *testing.T) {
	for name, cfg := range map[string]lab.Config{
		"ptp":    {Nodes: 2, IPv6: true},
		"bridge": {Nodes: 2, IPv6: true, PodLink: lab.Bridge},
		"ipv4":   {Nodes: 2},
	} {
		t.Run(name, func(t *testing.T) {
			c := labtest.New(t, cfg)
			nodes := []*lab.Host{c.Nodes[0].Host, c.Nodes[1].Host}
			for _, h := range append(nodes, c.Outside) {
				labtest.Serve(t, h, 80, protos...)
			}
			var pods []*lab.Host
			for _, n := range []*lab.Node{c.Nodes[0], c.Nodes[0], c.Nodes[1]} {
				name := fmt.Sprintf("pod-%s-%d", n.Name, len(n.Pods()))
				pods = append(pods, labtest.Pod(t, n, name, 80, protos...).Host)
			}
			inside := append(nodes, pods...)
			for _, from := range inside {
				for _, to := range inside {
					if from != to {
						reach(t, from, to)
					}
				}
			}
			for _, n := range nodes {
				reach(t, n, c.Outside)
				reach(t, c.Outside, n)
			}
		})
	}
}

func reach(t *testing.T, from, to *lab.Host) {
	t.Helper()
	for _, proto := range protos {
		for _, addr := range to.Addrs() {
			at := l4.Addr{IP: addr, Port: 80, Proto: proto}
			if got, want := from.Try(t.Context(), at), to.Name+" saw "+seenAs(from, to, addr).String(); got != want {
				t.Errorf("%s to %s (%s): got %q, want %q", from.Name, to.Name, at, got, want)
			}
		}
	}
}

// seenAs returns the address that to sees from by. A node has one towards its
// own pods that differs: that of their gateway.
func seenAs(from, to *lab.Host, addr netip.Addr) netip.Addr {
	gateway := netip.PrefixFrom(addr, addr.BitLen()-8).Masked().Addr().Next()
	switch {
	case strings.HasPrefix(from.Name, "node-") && strings.HasPrefix(to.Name, "pod-"+from.Name):
		return gateway
	case addr.Is4():
		return from.Addr4
	}
	return from.Addr6
}
