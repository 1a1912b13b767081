// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package parts holds what a run measures. Each part is a function of a Run that adds
// samples, and that ends at its deadline with what it has.
//
// Subjects take turns: one round visits each of them, in an order that rotates, and a
// ratio is taken within a round. A subject that does not serve is void from then on:
// nothing is concluded about it.
package parts
