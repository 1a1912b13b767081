// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

//go:build race

package counts

// counted reports whether a kind is as in an ordinary build: the race detector allocates.
func (k Kind) counted() bool { return k != Allocations && k != Heap }
