// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mdlayher/netlink"
	"github.com/ti-mo/conntrack"
	vnetlink "github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	discoveryv1 "k8s.io/api/discovery/v1"

	"fairlead/internal/inet"
	"fairlead/internal/lab"
	"fairlead/internal/lab/labtest"
)

// tcpFrom connects to an address from a fixed source port, and returns the server's
// name from its greeting.
func tcpFrom(ctx context.Context, host *lab.Host, from netip.AddrPort, to inet.Addr) (net.Conn, string, error) {
	d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(from), Control: func(_, _ string, c syscall.RawConn) (err error) {
		ctl := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1) })
		return errors.Join(ctl, err)
	}}
	var conn net.Conn
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	err := host.NS.Do(func() (err error) {
		conn, err = d.DialContext(ctx, "tcp", to.AddrPort().String())
		return err
	})
	if err != nil {
		return nil, "", err
	}
	if err := conn.SetReadDeadline(time.Now().Add(answered)); err != nil {
		return nil, "", errors.Join(err, conn.Close())
	}
	greeting, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return nil, "", errors.Join(err, conn.Close())
	}
	return conn, greeting, nil
}

// TestPacketOpeningTCP has TCP clients dial before there is a Service, each from one
// source port. Their SYNs renew an entry that leads nowhere, or to a refusal.
func TestPacketOpeningTCP(t *testing.T) {
	t.Parallel()
	b := newBed(t, defaults(), lab.PTP)
	b.swallow(t, vip(1)) // Nobody answers at a load balancer's address.
	var silent, refused []tcpClient
	for family := range ipFamilies {
		origin := b.Outside.Addrs()[family]
		silent = append(silent, tcpClient{netip.AddrPortFrom(origin, 40001), b.frontend("LB VIP", 1, family)})
		refused = append(refused, tcpClient{netip.AddrPortFrom(origin, 40002), b.frontend("NodePort", 1, family)})
	}
	for _, c := range refused {
		if _, _, err := tcpFrom(t.Context(), b.Outside, c.from, c.to); !errors.Is(err, unix.ECONNREFUSED) {
			t.Fatalf("%s before the Service: %v", c.to, err)
		}
	}
	got := b.greetings(t, silent)
	waitFor(t, "the SYNs are in the table", func() bool { return b.entries(t, 40001) == len(silent) })
	b.apply(t, slicesWith(1, everyProtocolPorts(), ready(b.there))...)
	b.apply(t, serviceObject(1, everyProtocol))
	for _, c := range refused {
		waitFor(t, fmt.Sprintf("%s is reached from port %d", c.to, c.from.Port()), func() bool {
			conn, greeting, err := tcpFrom(t.Context(), b.Outside, c.from, c.to)
			if err != nil {
				return false
			}
			_ = conn.Close()
			return strings.Contains(greeting, "there")
		})
	}
	for range silent {
		if s := <-got; !strings.Contains(s, "there") {
			t.Errorf("a client that dialled before the Service existed: %q", s)
		}
	}
}

// TestPacketOpeningVanished has clients dial a Service whose only endpoint is silent.
// When another endpoint replaces it, the attempts under way reach that one.
func TestPacketOpeningVanished(t *testing.T) {
	t.Parallel()
	b := newBed(t, defaults(), lab.PTP)
	var dead [2]netip.Addr
	var clients []tcpClient
	for family := range ipFamilies {
		ip := b.node.PodCIDRs[family].Addr().AsSlice()
		ip[len(ip)-1] = 200
		dead[family], _ = netip.AddrFromSlice(ip)
		clients = append(clients, tcpClient{netip.AddrPortFrom(b.Outside.Addrs()[family], 40004), b.frontend("LB VIP", 1, family)})
	}
	b.swallow(t, dead)
	b.apply(t, serviceObject(1))
	b.apply(t, sliceObjects(1, member{b.here, func(ep *discoveryv1.Endpoint) {
		family := 0
		if strings.Contains(ep.Addresses[0], ":") {
			family = 1
		}
		ep.Addresses = []string{dead[family].String()}
	}})...)
	got := b.greetings(t, clients)
	waitFor(t, "the SYNs are in the table", func() bool { return b.entries(t, 40004) == len(clients) })
	b.apply(t, sliceObjects(1, ready(b.there))...)
	for range clients {
		if s := <-got; !strings.Contains(s, "there") {
			t.Errorf("a client that dialled a silent endpoint: %q", s)
		}
	}
}

// tcpClient dials an address from a port of its own.
type tcpClient struct {
	from netip.AddrPort
	to   inet.Addr
}

// greetings has clients outside connect, and returns what the servers said, or the
// errors, one for each client.
func (b *bed) greetings(t *testing.T, clients []tcpClient) <-chan string {
	t.Helper()
	return greetings(t, b.Outside, clients)
}

// greetings does so on any host.
func greetings(t *testing.T, host *lab.Host, clients []tcpClient) <-chan string {
	t.Helper()
	got := make(chan string, len(clients))
	for _, c := range clients {
		go func() {
			conn, greeting, err := tcpFrom(t.Context(), host, c.from, c.to)
			if err != nil {
				greeting = err.Error()
			} else {
				_ = conn.Close()
			}
			got <- greeting
		}()
	}
	return got
}

// swallow makes node-1 send packets for addresses to a bridge without ports.
func (b *bed) swallow(t *testing.T, addrs [2]netip.Addr) {
	t.Helper()
	sink := &vnetlink.Bridge{LinkAttrs: vnetlink.LinkAttrs{Name: "sink"}}
	check(t, b.node.Netlink().LinkAdd(sink))
	check(t, b.node.Netlink().LinkSetUp(sink))
	for _, ip := range addrs {
		check(t, b.node.SetRoute(netip.PrefixFrom(ip, ip.BitLen()), netip.Addr{}, "sink"))
		check(t, b.node.Netlink().NeighSet(&vnetlink.Neigh{
			LinkIndex: sink.Index, State: vnetlink.NUD_PERMANENT, IP: ip.AsSlice(), HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0, 1},
		}))
	}
}

// entries counts the flows of node-1's table whose client has a source port.
func (b *bed) entries(t *testing.T, port uint16) (n int) {
	t.Helper()
	conn, err := conntrack.Dial(&netlink.Config{NetNS: b.node.NS.Fd()})
	check(t, err)
	defer func() { _ = conn.Close() }()
	all, err := conn.Dump(nil)
	check(t, err)
	for i := range all {
		if all[i].TupleOrig.Proto.SourcePort == port {
			n++
		}
	}
	return n
}

// TestPacketEndEstablished removes the endpoints of TCP connections whose servers
// still run, as on a node that lost its connection to the API server.
func TestPacketEndEstablished(t *testing.T) {
	t.Parallel()
	b := newBed(t, defaults(), lab.PTP)
	b.stop()
	b.endEstablished = true
	b.start(t, defaults())
	b.apply(t, serviceObject(1, everyProtocol))
	b.apply(t, slicesWith(1, everyProtocolPorts(), ready(b.there))...)
	var conns []*lab.Conn
	for family := range ipFamilies {
		for _, kind := range []string{"ClusterIP", "NodePort", "LB VIP"} {
			host := b.Outside
			if kind == "ClusterIP" {
				host = b.client.Host
			}
			c, err := host.Open(labtest.Patient(t), b.frontend(kind, 1, family))
			check(t, err)
			t.Cleanup(func() { _ = c.Close() })
			conns = append(conns, c)
		}
	}
	alive := func(t *testing.T, want bool) {
		t.Helper()
		b.sweep(t)
		for i, c := range conns {
			r, err := c.Ask(labtest.Patient(t))
			if want != (err == nil) || err != nil && lab.Outcome(r, err) != "reset" {
				t.Errorf("connection %d: %v, %v", i, lab.Outcome(r, err), err)
			}
		}
	}
	b.apply(t, slicesWith(1, everyProtocolPorts(), ready(b.here), failing(b.there))...)
	alive(t, true) // not ready, yet there
	b.apply(t, slicesWith(1, everyProtocolPorts(), ready(b.here))...)
	alive(t, false)
}
