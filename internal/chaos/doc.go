// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package chaos decides what happens to a cluster, when, and which connections may
// suffer from it. It is pure: a seed yields a schedule, and a history of what was done
// says whether a connection's trouble is covered by a promise of docs/reliability.md.
//
// All times are durations since the start of a round.
package chaos
