// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package overlay

import "net/netip"

// Plan is what the kernel has to hold. It is a value and may be shared.
type Plan struct {
	Devices []Device // that for tunnels over IPv4 first
	Entries Entries
	// Protocol marks the routes.
	Protocol uint8
	// MTU is the largest packet that pods can send to all nodes without fragments.
	MTU int
	// Tunnel describes tunnel packets for a packet filter.
	Tunnel Tunnel
	// Waits is set while the node itself has no pod CIDR or no underlay address. The
	// kernel then keeps what it holds.
	Waits bool

	// VTEPs are the node's own addresses on the devices, the first of its pod CIDRs.
	VTEPs []netip.Addr
}

// Tunnel describes packets of the overlay as the underlay carries them.
type Tunnel struct {
	Port uint16       // UDP; 0 without a tunnel
	Own  []netip.Addr // source of what this node sends, destination of what it gets
	// Nodes is the number of underlay addresses of all nodes, including this one. Only
	// nodes send such packets.
	Nodes int
}
