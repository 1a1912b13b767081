// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package demo shows fairlead at work on the cluster of package world: 13 steps, each
// of which says what it checks and whether that holds.
package demo
