// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package overlay

import "net/netip"

// Plan is what the kernel shall hold. It is a value and may be shared once made.
type Plan struct {
	Devices []Device // that for tunnels over IPv4 first
	Entries Entries
	// Protocol marks the routes.
	Protocol uint8
	// MTU is what pods can send to all nodes without being fragmented.
	MTU int
	// Tunnel is what a packet filter has to know.
	Tunnel Tunnel
	// Waits is set while the node itself has no pod CIDR or no underlay address
	// yet, or no longer: what the kernel holds is then left as it is.
	Waits bool

	// VTEPs are the node's own addresses on the devices, the first of its pod CIDRs.
	VTEPs []netip.Addr
}

// Tunnel describes packets of the overlay as they are seen on the underlay.
type Tunnel struct {
	Port uint16       // UDP; 0 without a tunnel
	Own  []netip.Addr // source of what this node sends, destination of what it gets
	// Nodes holds the underlay addresses of all nodes, this one included, in
	// order: nobody else sends such packets.
	Nodes []netip.Addr
}
