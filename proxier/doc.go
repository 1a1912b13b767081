// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package proxier turns Kubernetes objects into the table of package nat. Its root holds
// the one loop; the stages of the data are below it.
//
//	source ─► convert ─► store ─ dirty keys ─► resolve ─► nat/plan ─► nat/apply ─► kernel
//	API server, files    slim objects          pure       want, have   rounds
//	                  └────────► status ◄─────────┴──────────────────────┘
//	                             problems, by reporter and object
//
// Each sync takes the dirty keys (desired.go), resolves them, applies the difference in
// bounded rounds (rounds.go), and then publishes what the kernel took to flows, health
// checks, metrics and Events (after.go).
//
// Desired state is a pure function of objects and of who had an address first. A batch is
// a pure function of what is wanted and what the kernel has. What the kernel has changes
// only with its acknowledgement. So a failed commit loses nothing, an unchanged cluster
// costs no write, and a restart on an unchanged cluster writes nothing.
//
// The loop is the only goroutine that writes services, settings and nodes to the table.
// The Store, the Book and the Metrics are safe for concurrent use.
package proxier
