// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package screen turns the state of agents into text for a terminal. It does no I/O
// beyond the writer that it is given.
package screen
