// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nat

import (
	"net/netip"

	"fairlead/internal/inet"
)

// HostPort is a port of this node that one pod on it answers. It is a value.
type HostPort struct {
	// Addr is what is dialled; an unspecified IP stands for every address of
	// this node of that family. Loopback is never served: after DNAT the packet
	// would leave the node with a loopback source, which is a martian.
	Addr inet.Addr
	Pod  netip.AddrPort // of the same family
	// Owner is the comment on the element: "namespace/pod".
	Owner string
}
