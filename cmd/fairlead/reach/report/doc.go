// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package report says what a test of connectivity found: as a table, as failures with the
// command that finds their cause, and for programs.
package report
