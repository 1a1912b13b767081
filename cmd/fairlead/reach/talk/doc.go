// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package talk is the two ends of a test of connectivity: a server that says who it is
// and whom it sees, and a client that tries what package plan lists.
package talk
