// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package sysctl knows which kernel settings the data path needs, and why.
//
//	Needed(Config) --> []Setting --Check(read)--> []Finding     pure
//	                        └-----Tree.Apply()--> set, left     writes
//
// The list is short on purpose: a setting is in it because something does not
// work without it. Settings that are somebody's decision (strict reverse path
// filters, IPv6 turned off) are reported and never set.
// Nothing is ever set back: others may have come to need it.
//
// route_localnet exposes what listens on 127.0.0.1 (CVE-2020-8558), so it is set only
// while the table drops packets from and to 127.0.0.0/8 that arrive on a wire.
//
// What is deliberately left alone:
//
//   - nf_conntrack_max and the timeouts: a matter of the node's size.
//   - nf_conntrack_tcp_be_liberal: a matter of the networks that the node is in;
//     kube-proxy sets it only when told to (--conntrack-tcp-be-liberal).
//   - neigh/*/gc_thresh*: permanent entries do not count since Linux 5.0.
//
// Files below /proc/sys/net are those of the network namespace of the calling
// thread. Nothing here keeps state; call from any goroutine.
package sysctl
