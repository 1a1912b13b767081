// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package plan says what a test of connectivity tries and what must come of it: from
// each node and from a pod on it, to every kind of Service, pod and name. It is pure, so
// that a client in a pod, the command that started it, and a lab without Kubernetes make
// the same plan from the same World.
package plan
