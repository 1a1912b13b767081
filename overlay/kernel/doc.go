// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package kernel reads, writes and watches the objects of the overlay over rtnetlink.
// It decides nothing: package overlay plans, and package keeper acts.
//
//	Conn.Look    links, addresses and default routes of the node
//	Conn.Load    the overlay's own entries
//	Conn.Ensure  a VXLAN device
//	Conn.Write   steps, one system call for many
//	Watch        changes that others make
//
// Devices are encoded and decoded here and not by vishvananda/netlink. Its VXLAN type
// always sends attributes that the kernel refuses in a change (IFLA_VXLAN_PROXY,
// IFLA_VXLAN_L2MISS and others), so it cannot change the local address, and a second
// encoder would be needed for that.
package kernel
