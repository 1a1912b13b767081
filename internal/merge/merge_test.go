// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package merge_test

import (
	"cmp"
	"fmt"
	"slices"
	"testing"

	"fairlead/internal/merge"
)

// item has a key, by which it is sorted, and something else.
type item struct {
	key  int
	note string
}

func compareKeys(a, b item) int { return cmp.Compare(a.key, b.key) }

func commonItems(a, b []item) (n int) {
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}

func TestSorted(t *testing.T) {
	list := func(keys ...int) (out []item) {
		for _, k := range keys {
			out = append(out, item{key: k})
		}
		return out
	}
	moved := list(1, 2, 3)
	moved[1].note = "moved"
	for _, tc := range []struct {
		name            string
		a, b            []item
		all, withCommon string
	}{
		{name: "nothing"},
		{"only the first", list(1, 2), nil, "1/- 2/-", "1/- 2/-"},
		{"only the second", nil, list(1, 2), "-/1 -/2", "-/1 -/2"},
		{"the same", list(1, 2), list(1, 2), "1/1 2/2", ""},
		{"in turns", list(1, 3, 5), list(2, 4), "1/- -/2 3/- -/4 5/-", "1/- -/2 3/- -/4 5/-"},
		{"some in common", list(1, 2, 4, 5), list(1, 3, 4, 5, 6), "1/1 2/- -/3 4/4 5/5 -/6", "2/- -/3 -/6"},
		{"equal, but not the same", list(1, 2, 3), moved, "1/1 2/2 3/3", "2/2"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for range 2 { // the lists can be walked again
				if got := walk(tc.a, tc.b, nil); got != tc.all {
					t.Errorf("Sorted without common yields %q, want %q", got, tc.all)
				}
			}
			if got := walk(tc.a, tc.b, commonItems); got != tc.withCommon {
				t.Errorf("Sorted yields %q, want %q", got, tc.withCommon)
			}
		})
	}
}

func walk(a, b []item, common func(a, b []item) int) string {
	text := ""
	show := func(i *item) string {
		if i == nil {
			return "-"
		}
		return fmt.Sprint(i.key)
	}
	for ofA, ofB := range merge.Sorted(a, b, compareKeys, common) {
		if text != "" {
			text += " "
		}
		text += show(ofA) + "/" + show(ofB)
	}
	return text
}

func TestSortedEnds(t *testing.T) {
	var seen []int
	for ofA := range merge.Sorted([]item{{key: 1}, {key: 2}, {key: 3}}, nil, compareKeys, nil) {
		if seen = append(seen, ofA.key); ofA.key == 2 {
			break
		}
	}
	if !slices.Equal(seen, []int{1, 2}) {
		t.Errorf("a loop that ends at the second item has seen %v", seen)
	}
}
