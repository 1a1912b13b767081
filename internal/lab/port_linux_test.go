// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package lab_test

import (
	"net"
	"net/netip"
	"testing"

	"fairlead/internal/inet"
	"fairlead/internal/lab"
	"fairlead/internal/lab/labtest"
)

// TestClientPorts: a client does not get the port of an earlier one, nor that of a server.
// Its packets would be those of the earlier connection for connection tracking.
func TestClientPorts(t *testing.T) {
	c := labtest.New(t, lab.Config{Nodes: 1, IPv6: true})
	const clients, taken = 1000, 49200
	host := c.Outside
	var server net.PacketConn
	if err := host.NS.Do(func() (err error) {
		server, err = net.ListenPacket("udp", netip.AddrPortFrom(netip.IPv6Unspecified(), taken).String())
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Close() }()
	for _, proto := range []inet.Proto{inet.UDP, inet.SCTP} {
		for family, from := range host.Addrs() {
			t.Run(proto.String()+" "+from.String(), func(t *testing.T) {
				to := inet.Addr{IP: c.Nodes[0].Addrs()[family], Port: 53, Proto: proto}
				seen := map[uint16]int{}
				for i := range clients {
					conn, err := host.Socket(t.Context(), to)
					if err != nil {
						t.Fatal(err)
					}
					at := conn.Source()
					if earlier, ok := seen[at.Port()]; ok {
						t.Fatalf("clients %d and %d have port %d", earlier, i, at.Port())
					}
					if at.Addr() != from {
						t.Fatalf("client %d has the address %s", i, at.Addr())
					}
					seen[at.Port()] = i
					if err := conn.Close(); err != nil {
						t.Fatal(err)
					}
				}
			})
		}
	}
}
