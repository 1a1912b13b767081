// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package rebuild makes the node of a bundle anew in network namespaces: its devices,
// routes, settings and pods, and the table as the kernel of the bundle had it, whatever is
// wrong with it. The package plan says what that takes.
package rebuild
