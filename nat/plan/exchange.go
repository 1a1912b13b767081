// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"iter"
	"net/netip"

	"fairlead/internal/merge"
	"fairlead/nat"
)

// exchange is which elements of shared sets a frontend needs after a change, and which it did
// only before.
type exchange struct {
	old, now   []nat.Backend  // that it was made for, sorted
	cluster    []netip.Prefix // the same
	came, gone []*nat.Backend
	counted    int // of came
	done       bool
}

// mostAtOnce is how many backends are counted at once. It takes some hundred µs.
const mostAtOnce = 1 << 10

// costOfCommon is how many backends that two lists have in common are compared in the time of one
// that is counted.
const costOfCommon = 1 << 4

// isSame reports whether two lists are one, or empty.
func isSame[T any](a, b []T) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// exchanged yields what differs between two sorted lists: a backend that only the first has, or only the
// second, or both for one that is now on another node. It costs a comparison of the lists: most changes
// leave most backends in place.
func exchanged(a, b []nat.Backend, pause func(elements int)) iter.Seq2[*nat.Backend, *nat.Backend] {
	n := 0
	common := func(a, b []nat.Backend) int {
		if n++; n%mostAtOnce == 0 {
			pause(mostAtOnce)
		}
		same := nat.CommonBackends(a[:min(len(a), mostAtOnce)], b)
		if same > 0 {
			pause(same / costOfCommon)
		}
		return same
	}
	return merge.Sorted(a, b, nat.Backend.CompareAddr, common)
}

// leaving are backends that no longer need elements of shared sets, but are still counted.
type leaving struct {
	list    []*nat.Backend
	cluster []netip.Prefix
}
