// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package keeper

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"fairlead/internal/inet"
	"fairlead/internal/lab"
	"fairlead/internal/lab/labtest"
	"fairlead/internal/nstest"
	"fairlead/overlay"
)

// TestBehindNAT gives a node addresses that are on no interface: a router
// translates them 1:1. Peers send to them, and the node sends from its own.
func TestBehindNAT(t *testing.T) {
	public := []netip.Addr{netip.MustParseAddr("203.0.113.11"), netip.MustParseAddr("2001:db8:203::11")}
	for _, f := range inet.Families() {
		t.Run(f.String(), func(t *testing.T) {
			c := labtest.New(t, lab.Config{Nodes: 2, IPv6: true, NoPodRoutes: true, Subnets: true})
			inside := c.Nodes[0].Addrs()[f]
			ip := map[inet.Family]string{inet.IPv4: "ip", inet.IPv6: "ip6"}[f]
			nft(t, c.Router(), fmt.Sprintf(`table %[1]s one { chain in { type nat hook prerouting priority -100; %[1]s daddr %[2]s dnat to %[3]s; }
				chain out { type nat hook postrouting priority 100; %[1]s saddr %[3]s snat to %[2]s; }
				}`, ip, public[f], inside))
			nodes := []overlay.Node{labNode(c.Nodes[0], f), labNode(c.Nodes[1], f)}
			nodes[0].Underlay = public[f : f+1]
			for i, n := range c.Nodes {
				r := start(t, n.NS, Options{}).sync(t, nodes[i], nodes...)
				if !r.Ready || len(r.Problems) > 0 || r.Tunnel.Own[0] != n.Addrs()[f] {
					t.Fatalf("%s: %+v", n.Name, r)
				}
			}
			client := labtest.Pod(t, c.Nodes[0], "client", 81, inet.TCP)
			server := labtest.Pod(t, c.Nodes[1], "server", 80, inet.TCP)
			for pods, addr := range server.Addrs() {
				expect(t, client.Host, inet.Addr{IP: addr, Port: 80, Proto: inet.TCP}, client.Addrs()[pods])
				eventually(t, "the way back", func() error {
					if got := server.Try(t.Context(), inet.Addr{IP: client.Addrs()[pods], Port: 81, Proto: inet.TCP}); !strings.HasPrefix(got, "client saw") {
						return errors.New(got)
					}
					return nil
				})
			}
		})
	}
}

func nft(t *testing.T, h *lab.Host, rules string) {
	t.Helper()
	cmd := nstest.Command(t, h.NS, "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(rules)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("nft: %v\n%s", err, out)
	}
}

// TestUplinkChoice selects an address in each way that there is, and looks at the
// outer packet.
func TestUplinkChoice(t *testing.T) {
	second := netip.MustParseAddr("192.168.60.7")
	for _, tt := range []struct {
		name   string
		uplink overlay.Uplink
		want   netip.Addr // the first one if not valid
	}{
		{"the node's address", overlay.Uplink{}, netip.Addr{}},
		{"interface", overlay.Uplink{Interfaces: []string{"nosuch0", "eth0"}}, netip.Addr{}},
		{"CIDR", overlay.Uplink{Interfaces: []string{"192.168.60.0/24"}}, second},
		{"address of an interface", overlay.Uplink{Interfaces: []string{second.String()}}, second},
		{"regular expression for a name", overlay.Uplink{Interfaces: []string{"seco.*"}}, second},
		{"regular expression for an address", overlay.Uplink{Interfaces: []string{`192\.168\.6.*`}}, second},
		{"route", overlay.Uplink{CanReach: netip.MustParseAddr("192.168.60.99")}, second},
		{"address", overlay.Uplink{Addresses: [2]netip.Addr{second}}, second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := labtest.New(t, lab.Config{Nodes: 2, NoPodRoutes: true})
			n := c.Nodes[0]
			h := &host{ns: n.NS}
			for line := range strings.Lines("ip link add second type bridge\nip addr add 192.168.60.7/24 dev second\nip link set second up") {
				h.run(t, strings.Fields(line)...)
			}
			if err := c.Nodes[1].SetRoute(netip.MustParsePrefix("192.168.60.7/32"), n.Addr4, "eth0"); err != nil {
				t.Fatal(err)
			}
			want := tt.want
			if !want.IsValid() {
				want = n.Addr4
			}
			nodes := []overlay.Node{labNode(n, inet.IPv4), labNode(c.Nodes[1], inet.IPv4)}
			start(t, c.Nodes[1].NS, Options{}).sync(t, nodes[1], nodes...)
			start(t, n.NS, Options{Config: overlay.Config{Uplink: tt.uplink}}).sync(t, nodes[0], nodes...)
			client := labtest.Pod(t, n, "client", 0)
			server := labtest.Pod(t, c.Nodes[1], "server", 80, inet.TCP)
			next := capture(t, n.Host, unix.ETH_P_IP)
			expect(t, client.Host, inet.Addr{IP: server.Addr4, Port: 80, Proto: inet.TCP}, client.Addr4)
			if got := next(); got.src != want {
				t.Errorf("tunnel leaves from %s, want %s", got.src, want)
			}
		})
	}
}

// TestUplinkComes selects an interface that is not there yet: the overlay says what
// it waits for, and begins when the interface comes, changes it and goes on.
func TestUplinkComes(t *testing.T) {
	h := newHost(t)
	k := start(t, h.ns, Options{Config: overlay.Config{Uplink: overlay.Uplink{Interfaces: []string{"wg.*"}}}, Resync: time.Hour})
	k.Set(node(1), nodes(2, 3))
	eventually(t, "the missing interface is reported", func() error {
		r, _, _, _ := k.last()
		if text := fmt.Sprint(r.Problems); !strings.Contains(text, "no interface with an IPv4 address matches wg.*") || r.Ready {
			return errors.New(text)
		}
		return nil
	})
	local := func(want string) {
		t.Helper()
		eventually(t, "local address "+want, func() error {
			if got := h.run(t, "ip", "-d", "link", "show", "type", "vxlan"); !strings.Contains(got, "local "+want+" ") {
				return errors.New(got)
			}
			return nil
		})
	}
	h.run(t, "ip", "link", "add", "wg7", "type", "bridge")
	h.run(t, "ip", "addr", "add", "10.7.0.1/24", "dev", "wg7")
	h.run(t, "ip", "link", "set", "wg7", "up")
	local("10.7.0.1")
	h.run(t, "ip", "addr", "add", "10.7.0.2/24", "dev", "wg7")
	h.run(t, "ip", "addr", "del", "10.7.0.1/24", "dev", "wg7")
	h.run(t, "ip", "addr", "add", "10.7.0.3/24", "dev", "wg7")
	eventually(t, "the new address", func() error {
		if got := h.run(t, "ip", "-d", "link", "show", "type", "vxlan"); strings.Contains(got, "local 10.7.0.1 ") {
			return errors.New(got)
		}
		return nil
	})
}

// TestDefaultRoute gives the node an address that is on no interface, so that it sends by
// its default route, and writes that as other programs do. Of several default routes the
// kernel takes the one with the lowest metric.
func TestDefaultRoute(t *testing.T) {
	for _, tt := range []struct{ name, routes, want string }{
		{"of systemd-networkd", "ip route add default via 10.0.0.2 dev eth0 proto dhcp src 10.0.0.1 metric 1024", "10.0.0.1"},
		{"with an option", "ip route add default via 10.0.0.2 dev eth0 advmss 1360", "10.0.0.1"},
		{"of a router", "ip -6 route add default via fe80::2 dev eth0 proto ra metric 1024 hoplimit 64", "fd01::1"},
		{"with two ways", "ip route add default nexthop via 10.0.0.2 dev eth0 nexthop via 10.0.0.3 dev eth0", "10.0.0.1"},
		{"the better one", "ip route add default via 10.7.0.2 dev second metric 100\nip route add default via 10.0.0.2 dev eth0 metric 600", "10.7.0.1"},
		{"the better one of IPv6", "ip -6 route add default via fe80::2 dev second metric 100\nip -6 route add default via fe80::2 dev eth0 metric 600", "fd07::1"},
		{"beside a deprecated address", "ip addr add fd01::9/64 dev eth0 nodad preferred_lft 0\nip -6 route add default via fe80::2 dev eth0", "fd01::1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHost(t)
			run := func(script string) {
				for line := range strings.Lines(script) {
					h.run(t, strings.Fields(line)...)
				}
			}
			run("ip link add second mtu 1400 type bridge\nip link set second up\nip addr add 10.7.0.1/24 dev second\nip addr add fd07::1/64 dev second nodad\n" +
				"ip addr flush dev eth0 scope global\nip link set eth0 mtu 1400\nip addr add 10.0.0.1/24 dev eth0\nip addr add fd01::1/64 dev eth0 nodad")
			want := netip.MustParseAddr(tt.want)
			family := inet.FamilyOf(want)
			self := node(1)
			self.Underlay = self.Underlay[family : family+1]
			k := start(t, h.ns, Options{Resync: time.Hour})
			k.Set(self, nodes(2, 4))
			run(tt.routes)
			eventually(t, "the node sends by its default route", func() error {
				r, _, _, _ := k.last()
				if r.Err != nil || len(r.Problems) > 0 || len(r.Tunnel.Own) != 1 || r.Tunnel.Own[0] != want || r.MTU != 1400-overlay.Overhead(family) {
					return fmt.Errorf("%+v", r)
				}
				return nil
			})
		})
	}
}
