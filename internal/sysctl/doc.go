// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package sysctl lists the kernel settings that the data path needs, with the reasons.
//
//	Needed(Config) --> []Setting --Check(read)--> []Finding     pure
//	                        └-----Tree.Apply()--> set, left     writes
//
// The list is short on purpose: it contains only settings that the data path depends
// on. Settings that an administrator decides (strict reverse path filters, IPv6 turned
// off) are only reported. No setting is ever set back, because other programs may need
// it by then.
//
// route_localnet exposes the services on 127.0.0.1 (CVE-2020-8558), so it is set only
// while the table drops packets from and to 127.0.0.0/8 that arrive on a wire.
//
// These settings deliberately stay unchanged:
//
//   - nf_conntrack_max and the timeouts: a matter of the node's size.
//   - nf_conntrack_tcp_be_liberal: a matter of the networks that the node is in;
//     kube-proxy sets it only by its flag --conntrack-tcp-be-liberal.
//   - neigh/*/gc_thresh*: permanent entries do not count since Linux 5.0.
//
// Files below /proc/sys/net are those of the network namespace of the calling
// thread. The functions keep no state; call them from any goroutine.
package sysctl
