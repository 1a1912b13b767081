// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

//go:build !race

package nstest

// Race reports whether the race detector is built in, which takes memory and time of its own.
const Race = false
