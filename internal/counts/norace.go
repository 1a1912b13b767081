// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

//go:build !race

package counts

// counted reports whether a kind is as in an ordinary build.
func (Kind) counted() bool { return true }
