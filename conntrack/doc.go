// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package conntrack deletes flows that lead where they no longer should.
//
// The kernel translates all packets of a flow as it did the first one. A UDP flow
// lives as long as packets come, so a client that never pauses, such as a
// resolver, would talk to a removed endpoint indefinitely, or to nobody if it
// began before the frontend had an endpoint. The same holds for a TCP or SCTP
// connection that is not established yet: each SYN from the same port renews the
// old entry. An established TCP connection ends by itself, with a reset or a
// timeout; Config.EndEstablished makes the package end it at once. Established
// SCTP associations notice by heartbeats and are left alone (ADR 0010).
//
//	View     decides which flows are stale: a pure function of a flow and of the frontends
//	Cleaner  searches for stale flows and deletes them, in one goroutine
//	Fill     says how full the kernel's table is
//
// The worker asks the kernel only for flows to the frontends that changed, so that
// other flows cost next to nothing, and repeats what failed.
package conntrack
