// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package nat programs Services into one nftables table, "inet fairlead".
//
// Rules are a program, services are data. A handful of rules is written once;
// a frontend is one element of a verdict map, a backend one element of a data
// map:
//
//	tunnels (raw, -300)       pods and strangers ──► drop; nodes ──► notrack
//	invalid (mangle, -150)    lost TCP segments of backends ──► drop
//	prerouting, output (nat, -100)
//	        │
//	    services ── daddr . proto . port  vmap @vips4 ──► cluster4-8 ──► pick4-8 ──► draw4-8
//	        ├────── proto . port     vmap @nodeports4 ──► node-external4-8 ──► node-pick4-8 ──► node-draw4-8
//	        │                                               (masquerade?)      dnat to … random mod 8 map @backends4
//	        └────── proto . port     dnat to … map @hostports4
//	postrouting (nat, 100)
//	        mark bit, hairpin, or from pods to the world ──► masquerade
//
// A frontend with N backends keeps them in slots 0 to N-1 of a size class
// 2^k >= N. The pick chain of the class draws a slot from 0 to 2^k-1; an empty
// slot fails the lookup, which ends the rule, and the next rule draws again.
// So one more backend is one more element, no rule changes, and the kernel
// never has to revalidate the table. See docs/dataplane.md and ADR 0002.
//
// This package holds the words: frontends, settings, host ports. Its stages are
// below it, and each imports only what is listed before it:
//
//	ruleset   the table as nft would print it: sets, chains, rules, batches
//	plan      what is wanted, what the kernel has, and the next step between them
//	kernel    the netlink socket: Commit a batch, Load a snapshot, Watch for changes
//
//	want ─┐
//	      ├─ plan.State.Next ──► Step ── kernel.Table.Commit ──► kernel
//	have ─┘◄───────────────── State.Acked ◄── ACK
//	      ◄──── State.Adopt ◄── kernel.Table.Load ◄───────────── kernel
//
// A batch is atomic: the kernel takes all of it or nothing.
package nat
