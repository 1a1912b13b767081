// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package proxier turns Kubernetes objects into the table of package nat.
//
//	API server ─ informers ─┐                       ┌─ claims ─┐
//	                        ├─► Store ─ dirty keys ─► resolve ─┴─► plan.State ─► ruleset.Batch ─► kernel
//	files (--manifests) ────┘   slim objects          pure           want, have      one loop
//
// Sources convert objects to slim ones, put them in the Store and poke; what is
// wrong with an object becomes a Problem and costs that object, or that field.
// The loop, Proxier.Run, is the only one that writes anything to the kernel.
//
// Three sentences stay true. What is desired is a pure function of objects. A
// batch is a pure function of what is wanted and what the kernel has. What the
// kernel has changes only with its acknowledgement. So a failed commit loses
// nothing, an unchanged cluster costs no write, and a restart on an unchanged
// cluster writes nothing.
//
// The Store and the Metrics are safe for concurrent use, nothing else is.
package proxier
