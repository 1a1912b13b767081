// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package inet holds the words that every package of fairlead shares: transport
// protocols, transport addresses, address families and prefixes.
package inet

import (
	"cmp"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Proto is an IP protocol number with ports (IANA "Assigned Internet Protocol
// Numbers"). The zero value is no protocol.
type Proto uint8

// The transport protocols of the Service API.
const (
	TCP  Proto = 6
	UDP  Proto = 17
	SCTP Proto = 132
)

// ParseProto reads a protocol as the Service API spells it, in any case.
func ParseProto(s string) (Proto, error) {
	switch strings.ToUpper(s) {
	case "TCP":
		return TCP, nil
	case "UDP":
		return UDP, nil
	case "SCTP":
		return SCTP, nil
	}
	return 0, fmt.Errorf("protocol %q is not TCP, UDP or SCTP", s)
}

// String returns the name that nft prints: "tcp", "udp" or "sctp".
func (p Proto) String() string {
	switch p {
	case TCP:
		return "tcp"
	case UDP:
		return "udp"
	case SCTP:
		return "sctp"
	}
	return strconv.Itoa(int(p))
}

// Addr is a transport address: what a client dials.
//
// The unspecified IP (0.0.0.0 or ::) stands for every address of this node
// that serves NodePorts, so a NodePort of each family is an Addr too.
type Addr struct {
	IP    netip.Addr
	Port  uint16
	Proto Proto
}

// IsNodePort reports whether a is a NodePort rather than a VIP and port.
func (a Addr) IsNodePort() bool { return a.IP.IsUnspecified() }

// AddrPort returns a without its protocol.
func (a Addr) AddrPort() netip.AddrPort { return netip.AddrPortFrom(a.IP, a.Port) }

// Compare orders by IP, then port, then protocol.
func (a Addr) Compare(b Addr) int {
	return cmp.Or(a.IP.Compare(b.IP), cmp.Compare(a.Port, b.Port), cmp.Compare(a.Proto, b.Proto))
}

// String returns, for example, "10.96.0.10:53/udp" or "[fd00::a]:80/tcp".
func (a Addr) String() string { return a.AddrPort().String() + "/" + a.Proto.String() }
