// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nat

import (
	"net/netip"

	"fairlead/internal/inet"
)

// HostPort is a port of this node that one pod on it answers. It is a value.
type HostPort struct {
	// Addr is the address that clients connect to. An unspecified IP stands for every
	// address of this node of that family. Addresses of other hosts are not served,
	// and loopback addresses only with Settings.Loopback.
	Addr inet.Addr
	Pod  netip.AddrPort // of the same family
	// Owner is the comment on the element: "namespace/pod".
	Owner string
}
