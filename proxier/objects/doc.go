// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package objects holds the words of the proxier: API objects reduced to the fields that
// decide what happens to a packet, their keys, and the problems that they have. All of
// them are values: no goroutine changes one that it has handed over.
package objects
