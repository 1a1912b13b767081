// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package nl is the way to the kernel over netlink, for rtnetlink and nf_tables
// alike. Other packages encode and decode the contents of messages; this package
// opens sockets, numbers requests, checks lengths, and waits for answers.
//
//	Messages ──► Socket.Write ──► kernel ──► an error for each refused request
//	Messages ──► Socket.Dump ───► kernel ──► Reply, Reply, ...
//	             Socket.Listen ◄─ kernel     notifications, until a context ends
//
// Four rules hold for every caller:
//   - An attribute or message that does not fit is an error before anything is
//     sent. The length of an attribute has 16 bits and would wrap silently.
//   - Answers count only if the kernel sent them and their sequence number belongs
//     to the request.
//   - Every wait for an answer has a deadline.
//   - A dump during which the kernel's state changed (NLM_F_DUMP_INTR), or of which
//     parts were lost (ENOBUFS), is an error that Repeat knows.
package nl
