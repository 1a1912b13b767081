// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package keeper

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"fairlead/internal/inet"
	"fairlead/internal/lab"
	"fairlead/internal/lab/labtest"
	"fairlead/overlay"
)

// labNode describes a node of the lab, with underlay addresses of the families
// given.
func labNode(n *lab.Node, underlay ...inet.Family) overlay.Node {
	out := overlay.Node{Name: n.Name, Created: time.Unix(int64(n.Number), 0), PodCIDRs: n.PodCIDRs}
	for _, f := range underlay {
		out.Underlay = append(out.Underlay, n.Addrs()[f])
	}
	return out
}

// outer is the outside of a packet of the
type outer struct {
	src, dst netip.Addr
	port     uint16
	vni      uint32
	inner    uint16 // EtherType of what it carries
}

// capture returns the next VXLAN packet that a host sends with a payload of an
// EtherType: the end of an earlier connection may still be on its way.
func capture(t *testing.T, h *lab.Host, inner uint16) func() outer {
	t.Helper()
	fd := -1
	err := h.NS.Do(func() (err error) {
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, int(lab.EtherType(unix.ETH_P_ALL)))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 10}); err != nil {
		t.Fatal(err)
	}
	return func() outer {
		t.Helper()
		buf := make([]byte, 2048)
		for {
			n, from, err := unix.Recvfrom(fd, buf, 0)
			if err != nil {
				t.Fatalf("no packet of the overlay: %v", err)
			}
			if from.(*unix.SockaddrLinklayer).Pkttype == unix.PACKET_OUTGOING {
				if o, ok := parseOuter(buf[:n]); ok && o.inner == inner {
					return o
				}
			}
		}
	}
}

func parseOuter(b []byte) (o outer, ok bool) {
	var udp []byte
	switch {
	case len(b) >= 50 && b[0] == 0x45 && b[9] == unix.IPPROTO_UDP:
		o.src, o.dst, udp = netip.AddrFrom4([4]byte(b[12:])), netip.AddrFrom4([4]byte(b[16:])), b[20:]
	case len(b) >= 70 && b[0]>>4 == 6 && b[6] == unix.IPPROTO_UDP:
		o.src, o.dst, udp = netip.AddrFrom16([16]byte(b[8:])), netip.AddrFrom16([16]byte(b[24:])), b[40:]
	default:
		return o, false
	}
	o.port = binary.BigEndian.Uint16(udp[2:])
	o.vni = binary.BigEndian.Uint32(udp[12:]) >> 8
	o.inner = binary.BigEndian.Uint16(udp[28:])
	return o, o.port == overlay.DefaultPort
}

// TestPackets sends from pod to pod, over each underlay.
func TestPackets(t *testing.T) {
	const ip4, ip6 = unix.ETH_P_IP, unix.ETH_P_IPV6
	for _, tt := range []struct {
		name     string
		mode     overlay.Mode
		underlay []inet.Family
		device   [2]inet.Family // by family of pods
	}{
		{"dual-stack underlay", overlay.VXLAN, []inet.Family{inet.IPv4, inet.IPv6}, [2]inet.Family{inet.IPv4, inet.IPv6}},
		{"IPv4 underlay", overlay.VXLAN, []inet.Family{inet.IPv4}, [2]inet.Family{inet.IPv4, inet.IPv4}},
		{"IPv6 underlay", overlay.VXLAN, []inet.Family{inet.IPv6}, [2]inet.Family{inet.IPv6, inet.IPv6}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := labtest.New(t, lab.Config{Nodes: 2, IPv6: true, NoPodRoutes: true})
			connect(t, c, Options{Config: overlay.Config{Mode: tt.mode}}, tt.underlay...)
			client := labtest.Pod(t, c.Nodes[0], "client", 0)
			server := labtest.Pod(t, c.Nodes[1], "server", 80, inet.TCP, inet.UDP)
			for pods, addr := range server.Addrs() {
				inner := [2]uint16{ip4, ip6}[pods]
				next := capture(t, c.Nodes[0].Host, inner)
				expect(t, client.Host, inet.Addr{IP: addr, Port: 80, Proto: inet.TCP}, client.Addrs()[pods])
				want := outer{c.Nodes[0].Addrs()[tt.device[pods]], c.Nodes[1].Addrs()[tt.device[pods]], 8472, 1, inner}
				if got := next(); got != want {
					t.Errorf("outer packet %+v, want %+v", got, want)
				}
				expect(t, client.Host, inet.Addr{IP: addr, Port: 80, Proto: inet.UDP}, client.Addrs()[pods])
				// The node itself is seen by its VTEP address.
				expect(t, c.Nodes[0].Host, inet.Addr{IP: addr, Port: 80, Proto: inet.TCP}, c.Nodes[0].PodCIDRs[pods].Addr())
			}
		})
	}
}

// TestDirect sends from pod to pod without a tunnel.
func TestDirect(t *testing.T) {
	for _, mode := range []overlay.Mode{overlay.Direct, overlay.HostGateway} {
		t.Run(mode.String(), func(t *testing.T) {
			c := labtest.New(t, lab.Config{Nodes: 2, IPv6: true, NoPodRoutes: true})
			keepers := connect(t, c, Options{Config: overlay.Config{Mode: mode}}, inet.IPv4, inet.IPv6)
			client := labtest.Pod(t, c.Nodes[0], "client", 0)
			server := labtest.Pod(t, c.Nodes[1], "server", 80, inet.TCP)
			for pods, addr := range server.Addrs() {
				expect(t, client.Host, inet.Addr{IP: addr, Port: 80, Proto: inet.TCP}, client.Addrs()[pods])
				expect(t, c.Nodes[0].Host, inet.Addr{IP: addr, Port: 80, Proto: inet.TCP}, c.Nodes[0].Addrs()[pods])
			}
			r, _, _, _ := keepers[0].last()
			want := map[overlay.Mode]int{overlay.Direct: 1430, overlay.HostGateway: 1500}[mode]
			if r.MTU != want {
				t.Errorf("MTU %d, want %d", r.MTU, want)
			}
		})
	}
}

// connect runs a Keeper on each node of a lab.
func connect(t *testing.T, c *lab.Cluster, o Options, underlay ...inet.Family) []*keeper {
	t.Helper()
	var all []overlay.Node
	for _, n := range c.Nodes {
		all = append(all, labNode(n, underlay...))
	}
	o.ClusterCIDRs = c.Config.ClusterCIDRs()
	var keepers []*keeper
	for i, n := range c.Nodes {
		k := start(t, n.NS, o)
		if r := k.sync(t, all[i], all...); !r.Ready || len(r.Problems) > 0 {
			t.Fatalf("%s: %+v", n.Name, r)
		}
		keepers = append(keepers, k)
	}
	return keepers
}

// expect dials until it is answered as it should be: on a machine that is busy
// the underlay may need a while to resolve its own neighbours.
func expect(t *testing.T, from *lab.Host, to inet.Addr, seenAs netip.Addr) {
	t.Helper()
	want := "server saw " + seenAs.String()
	eventually(t, fmt.Sprintf("%s to %s: %s", from.Name, to, want), func() error {
		if got := from.Try(t.Context(), to); got != want {
			return errors.New(got)
		}
		return nil
	})
}
