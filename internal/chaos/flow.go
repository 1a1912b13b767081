// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"net/netip"
	"slices"
	"time"
)

// Flow is a connection: of a client that was answered by a server, or as connection tracking of a
// node knows it.
type Flow struct {
	Client, To netip.AddrPort // as the client's packets have them
	// Servers are the addresses of the server that answered, or the one that the node sends the
	// packets to.
	Servers []netip.Addr
	// Since is when the client began to connect, or when the node first met a packet.
	Since time.Duration
}

// clocks is how far the kernel's clock and that of the clients may be apart.
const clocks = 100 * time.Millisecond

// Resumed reports whether a node took a new connection for an earlier one, of which it keeps an
// entry. Connection tracking keeps a flow whose end no node saw for up to five days. A packet that
// opens a connection from the same port to the same address belongs to it (tcp_conntracks of
// nf_conntrack_proto_tcp.c: a SYN of an established or half-closed flow is ignored), so it goes to
// the server of that flow, whatever the table says. No other entry explains a wrong server: one of
// another port or address, one that leads to another server, and one that began with the connection,
// which the table made.
func Resumed(conn *Flow, entries []Flow) bool {
	return slices.ContainsFunc(entries, func(e Flow) bool {
		return e.Client == conn.Client && e.To == conn.To && e.Since < conn.Since-clocks &&
			slices.ContainsFunc(e.Servers, func(ip netip.Addr) bool { return slices.Contains(conn.Servers, ip) })
	})
}
