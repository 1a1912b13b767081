// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"errors"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Source ports of clients over UDP and SCTP: the dynamic ports of RFC 6335, section 6.
const (
	firstPort = 49152
	numPorts  = 16384
)

// nextPort returns a source port that no UDP or SCTP client of the host had in the 16,383
// connections before. A port that is chosen at random is, once in some hundred tests, that of an
// earlier client. The entry of that one in connection tracking can still lead to another server.
// Concurrent calls are safe.
func (h *Host) nextPort() uint16 { return uint16(firstPort + h.ports.Add(1)%numPorts) }

// connectUDP must run inside the namespace. It passes over ports that other sockets use.
func (h *Host) connectUDP(ctx context.Context, from netip.Addr, to netip.AddrPort) (conn net.Conn, err error) {
	for range numPorts {
		d := net.Dialer{Control: reportICMP, LocalAddr: net.UDPAddrFromAddrPort(netip.AddrPortFrom(from, h.nextPort()))}
		if conn, err = d.DialContext(ctx, "udp", to.String()); !errors.Is(err, unix.EADDRINUSE) {
			return conn, err
		}
	}
	return nil, err
}
