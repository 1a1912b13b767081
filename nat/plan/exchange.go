// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"cmp"
	"net/netip"

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

// compare calls came and gone for the backends that only the second or only the first of two
// sorted lists has. It costs a comparison of the lists: most changes leave most backends in
// place.
func compare(a, b []nat.Backend, came, gone func(*nat.Backend), pause func(elements int)) {
	for n := 1; len(a)+len(b) > 0; n++ {
		if n%mostAtOnce == 0 {
			pause(mostAtOnce)
		}
		if same := nat.CommonBackends(a[:min(len(a), mostAtOnce)], b); same > 0 {
			a, b = a[same:], b[same:]
			pause(same / costOfCommon)
			continue
		}
		var order int
		switch {
		case len(a) == 0:
			order = +1
		case len(b) == 0:
			order = -1
		default:
			order = cmp.Or(a[0].CompareAddr(b[0]), +1) // or the same on another node
		}
		if order > 0 {
			came(&b[0])
			b = b[1:]
			continue
		}
		gone(&a[0])
		a = a[1:]
	}
}

// leaving are backends that no longer need elements of shared sets, but are still counted.
type leaving struct {
	list    []*nat.Backend
	cluster []netip.Prefix
}
