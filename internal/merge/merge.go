// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package merge walks two sorted lists side by side.
package merge

import "iter"

// Sorted yields the items of two lists in order: both if they compare as equal, otherwise the lower one,
// and nil for the other list. Each list is sorted by compare and has no item twice. common says
// how many items what is left of the lists begins with in common. Sorted leaves these out, and calls common
// again before each item that it yields. A nil common leaves out nothing.
func Sorted[T any](a, b []T, compare func(a, b T) int, common func(a, b []T) int) iter.Seq2[*T, *T] {
	return func(yield func(*T, *T) bool) {
		a, b := a, b
		for len(a)+len(b) > 0 {
			if common != nil {
				if n := common(a, b); n > 0 {
					a, b = a[n:], b[n:]
					continue
				}
			}
			var order int
			switch {
			case len(a) == 0:
				order = +1
			case len(b) == 0:
				order = -1
			default:
				order = compare(a[0], b[0])
			}
			var ofA, ofB *T
			if order <= 0 {
				ofA, a = &a[0], a[1:]
			}
			if order >= 0 {
				ofB, b = &b[0], b[1:]
			}
			if !yield(ofA, ofB) {
				return
			}
		}
	}
}
