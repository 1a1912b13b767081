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

func TestMain(m *testing.M) { nstest.Main(m) }

var protos = []inet.Proto{inet.TCP, inet.UDP, inet.SCTP}

// TestReach dials from everywhere to everywhere without any NAT, so every address stays
// the same.
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

// TestSubnets puts each node behind the router: nodes, and pods with the client
// of their own node, reach each other. Pods of different nodes need an overlay for
// that.
func TestSubnets(t *testing.T) {
	c := labtest.New(t, lab.Config{Nodes: 2, IPv6: true, NoPodRoutes: true, Subnets: true})
	a, b := c.Nodes[0], c.Nodes[1]
	for _, h := range []*lab.Host{a.Host, b.Host, c.Outside} {
		labtest.Serve(t, h, 80, inet.TCP)
	}
	pod := labtest.Pod(t, a, "pod-node-1-1", 80, inet.TCP)
	far := labtest.Pod(t, b, "pod-node-2-1", 80, inet.TCP)
	for i, at := range b.Addrs() {
		want := fmt.Sprintf("node-2 saw %s", a.Addrs()[i])
		if got := a.Try(labtest.Patient(t), inet.Addr{IP: at, Port: 80, Proto: inet.TCP}); got != want {
			t.Errorf("node-1 to node-2: got %q, want %q", got, want)
		}
		if got := c.Outside.Try(labtest.Patient(t), inet.Addr{IP: at, Port: 80, Proto: inet.TCP}); got != fmt.Sprintf("node-2 saw %s", c.Outside.Addrs()[i]) {
			t.Errorf("outside to node-2: got %q", got)
		}
		if got := pod.Try(labtest.Patient(t), inet.Addr{IP: far.Addrs()[i], Port: 80, Proto: inet.TCP}); got != "unreachable" && got != "timeout" {
			t.Errorf("pod to pod behind the router: got %q, want no way", got)
		}
	}
	vip := netip.MustParsePrefix("203.0.113.0/24")
	if err := c.RouteVIPs(vip, b); err != nil {
		t.Errorf("route of VIPs to a node behind the router: %v", err)
	}
}

func reach(t *testing.T, from, to *lab.Host) {
	t.Helper()
	for _, proto := range protos {
		for _, addr := range to.Addrs() {
			at := inet.Addr{IP: addr, Port: 80, Proto: proto}
			if got, want := from.Try(labtest.Patient(t), at), to.Name+" saw "+seenAs(from, to, addr).String(); got != want {
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
