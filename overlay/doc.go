// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package overlay carries packets between pods on different nodes.
//
// It owns the VXLAN devices named in its Config, everything on them, and the
// routes of the main table that bear its route protocol number. A packet to a
// pod on another node, a peer, meets one entry of each kind:
//
//	10.244.2.7                                             the pod
//	    │  route       10.244.2.0/24 via 10.244.2.0 dev fairlead.1 onlink
//	10.244.2.0                                             the peer's VTEP address (inet.IPv6: fe80::...)
//	    │  neighbour   10.244.2.0 lladdr 0a:5c:...
//	0a:5c:...                                              the peer's VTEP MAC
//	    │  FDB entry   0a:5c:... dst 192.168.50.2
//	192.168.50.2                                           the peer's underlay address
//
// All of them are permanent; nothing is learned or resolved, and no packet needs
// the agent. Peers of the same subnet can do without the tunnel: one route via
// their underlay address (ADR 0011, docs/overlay.md).
//
// The package is split at the kernel. Nodes and what the kernel says about the
// underlay make a Plan, Diff compares it with what the kernel holds, and both
// are pure; only Keeper talks to the kernel.
//
//	nodes ────┐
//	          ├─ NewPlan ──► want ─┐
//	underlay ─┘                    ├─ Diff ──► steps ──► kernel
//	                        have ──┘◄────────── ACK ────────┘
//
// Keeper.Set may be called by anybody at any time; the goroutine that runs
// Keeper.Run owns the rest. Plans are values.
package overlay
