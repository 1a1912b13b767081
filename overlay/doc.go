// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package overlay carries packets between pods on different nodes.
//
// The overlay owns the VXLAN devices named in its Config, everything on them, and
// routes with its route protocol number. A packet to a pod on another node, a
// peer, meets one entry of each kind:
//
//	10.244.2.7                                             the pod
//	    │  route       10.244.2.0/24 via 10.244.2.0 dev fairlead.1 onlink
//	10.244.2.0                                             the peer's VTEP address (IPv6: fe80::...)
//	    │  neighbour   10.244.2.0 lladdr 0a:5c:...
//	0a:5c:...                                              the peer's VTEP MAC
//	    │  FDB entry   0a:5c:... dst 192.168.50.2
//	192.168.50.2                                           the peer's underlay address
//
// All entries are permanent: the kernel learns and resolves nothing, and no packet
// needs the agent. Peers in the same subnet can be reached without a tunnel, by one
// route via their underlay address (ADR 0011, docs/overlay.md). Replies to a node's own address
// take the route to its pods, by rules of package nat (ADR 0022).
//
// This package is pure. It makes a Plan of the nodes and of what the kernel says about
// the underlay, and Diff compares the plan with what the kernel holds. Package kernel
// reads and writes, and package keeper runs the loop.
//
//	nodes ────┐
//	          ├─ NewPlan ──► want ─┐
//	underlay ─┘                    ├─ Diff ──► steps ──► kernel
//	                        have ──┘◄────────── ACK ────────┘
//
// Plans are values and may be shared. A Planner belongs to one goroutine.
package overlay
