// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package conntrack deletes flows that go to a backend which is no more.
//
// A UDP flow lives as long as packets come, and the kernel translates all of
// them as it did the first. So a client that never pauses, such as a resolver,
// would talk to a backend that is gone for ever, or to nobody if it began
// before the frontend had a backend. TCP ends such flows by itself, and SCTP
// notices by heartbeats; both are left alone (ADR 0010).
//
//	View   which flows are stale: a pure function of a flow and of the frontends
//	Cleaner  one worker: Set, Delete and Sweep note what changed and poke it
//
// Tell the Cleaner what changed after the rules are committed and not before,
// or the next packet would bring the flow back. The worker asks the kernel only
// for flows to the frontends that changed, so that other flows cost next to
// nothing, and tries again what failed. Nothing waits for it.
package conntrack
