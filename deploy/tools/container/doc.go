// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package container runs the agent as its image and the chart have it: under runc, in a
// network namespace of its own, with the capabilities, the read-only root and the seccomp
// profile of the chart. What needs more privilege than that is reported as a problem by
// the agent, and fails the test.
package container
