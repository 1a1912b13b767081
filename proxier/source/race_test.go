// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

//go:build race

package source

// slowdown is by how much less tests of size do with the race detector.
const slowdown = 10
