// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package arch holds the one test that keeps the packages apart. The arrows in
// the design are import statements, and the compiler knows only that they make
// no circle; what else they must not do is said, and enforced, here.
package arch
