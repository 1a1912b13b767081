// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"fairlead/cmd/fairlead-lab/world"
	"fairlead/internal/inet"
	"fairlead/internal/lab"
	"fairlead/internal/nstest"
)

// TestSourceThroughOverlay dials from a node to a pod on another node, with the
// node's own address: by the pod's address, and by a NodePort of policy Local. The
// pod sees that address, and its answers come back through the tunnel, without a routing rule,
// which each packet of the node would pay. A strict reverse path filter on both nodes drops
// answers that take the underlay.
func TestSourceThroughOverlay(t *testing.T) {
	nstest.Need(t)
	cfg := lab.Config{Nodes: 2, IPv6: true, NoPodRoutes: true}
	made, err := world.New(t.Context(), worldOf(t, cfg), 0)
	w := testWorld(t, made, err)
	here, there := w.Cluster.Nodes[0], w.Cluster.Nodes[1]
	for _, n := range w.Cluster.Nodes {
		for _, file := range []string{"ipv4/conf/all/rp_filter", "ipv4/conf/eth0/rp_filter"} {
			if err := n.Sysctl(file, "1"); err != nil {
				t.Fatal(err)
			}
		}
	}
	endpoint, err := world.AddPodOn(there, "web")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := endpoint.Pod.Serve(inet.UDP, world.WebPort); err != nil {
		t.Fatal(err)
	}
	svc := world.Service{
		Name: "local", Port: 80, NodePort: 30081, TargetPort: 8080, Local: true,
		ClusterIPs: world.VIPs(cfg, 11), Endpoints: []world.Endpoint{endpoint},
	}
	if err := errors.Join(w.Write(svc), w.StartAgents(), w.WaitAgents(t.Context(), svc)); err != nil {
		t.Fatal(err)
	}
	strictIPv6(t, w.Cluster.Nodes)
	for f, own := range here.Addrs() {
		vtep := here.PodCIDRs[f].Addr()
		for _, tt := range []struct {
			name string
			from netip.Addr
			to   netip.AddrPort
			over inet.Proto
			want netip.Addr
		}{
			{"pod, bound", own, netip.AddrPortFrom(endpoint.Pod.Addrs()[f], 8080), inet.TCP, own},
			{"pod, bound, UDP", own, netip.AddrPortFrom(endpoint.Pod.Addrs()[f], 8080), inet.UDP, own},
			{"pod, not bound", netip.Addr{}, netip.AddrPortFrom(endpoint.Pod.Addrs()[f], 8080), inet.TCP, vtep},
			{"own NodePort, bound", own, netip.AddrPortFrom(own, 30081), inet.TCP, own},
			{"own NodePort, not bound", netip.Addr{}, netip.AddrPortFrom(own, 30081), inet.TCP, own},
			{"NodePort of the pod's node", own, netip.AddrPortFrom(there.Addrs()[f], 30081), inet.TCP, own},
		} {
			t.Run(fmt.Sprintf("%v %s", inet.Families()[f], tt.name), func(t *testing.T) {
				eventually(t, "the address that the pod sees", func() error {
					c, err := here.OpenFrom(t.Context(), tt.from, inet.Addr{IP: tt.to.Addr(), Port: tt.to.Port(), Proto: tt.over})
					if err != nil {
						return err
					}
					defer func() { _ = c.Close() }()
					if seen := c.Reply.Source.Addr(); seen != tt.want {
						return fmt.Errorf("%s, want %s", seen, tt.want)
					}
					return nil
				})
			})
		}
	}
	noRules(t, here)
	noRules(t, there)
}

// noRules makes sure that no routing rule is there beside the kernel's own.
func noRules(t *testing.T, n *lab.Node) {
	t.Helper()
	for family, want := range map[int]int{unix.AF_INET: 3, unix.AF_INET6: 2} {
		rules, err := n.Netlink().RuleList(family)
		if err != nil || len(rules) != want {
			t.Errorf("%s has %d routing rules of family %d, want %d: %v %v", n.Name, len(rules), family, want, rules, err)
		}
	}
}

// strictIPv6 drops what does not come by the interface that leads back, as firewalld
// does for IPv6 (IPv6_rpfilter). Tunnels are an exception there, too.
func strictIPv6(t *testing.T, nodes []*lab.Node) {
	t.Helper()
	for _, n := range nodes {
		runNFT(t, n.Host, `table inet strict { chain pre { type filter hook prerouting priority -10;
			iifname eth0 meta nfproto ipv6 fib saddr . iif oif missing drop
			}
		}`)
	}
}
