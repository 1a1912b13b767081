// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package counts is for tests of speed that do not depend on the machine: it counts what
// an action costs, and compares the counts with stored ones or with those of half the size.
package counts
