// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package stat turns samples into medians, ratios and their spread. It is pure.
//
// A ratio is taken within a round, because the subjects of one round ran right after
// each other: what else the machine did hit all of them. The ratio that a report shows
// is the median over the rounds, and its spread is the smallest and the largest.
package stat
