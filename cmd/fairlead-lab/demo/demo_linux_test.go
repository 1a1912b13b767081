// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestChiSquaredTail compares with the critical values of the usual tables.
func TestChiSquaredTail(t *testing.T) {
	tests := []struct {
		x    float64
		f    int
		want float64
	}{
		{3.841, 1, 0.05}, {6.635, 1, 0.01},
		{5.991, 2, 0.05}, {13.816, 2, 0.001},
		{7.815, 3, 0.05}, {11.345, 3, 0.01},
		{9.488, 4, 0.05}, {18.307, 10, 0.05}, {124.342, 100, 0.05},
		{0, 3, 1}, {5, 0, 1},
	}
	for _, tt := range tests {
		if got := chiSquaredTail(tt.x, tt.f); math.Abs(got-tt.want) > tt.want/500 {
			t.Errorf("%g with %d degrees of freedom: got %g, want %g", tt.x, tt.f, got, tt.want)
		}
	}
}

// TestChiSquared tells even spreads from uneven ones.
func TestChiSquared(t *testing.T) {
	for _, tt := range []struct {
		name   string
		counts []int
		k      int
		uneven bool
	}{
		{"even", []int{510, 490, 505, 495}, 4, false},
		{"one is preferred", []int{650, 450, 450, 450}, 4, true},
		{"one is left out", []int{1000, 1000}, 3, true},
		{"alone", []int{2000}, 1, false},
	} {
		if x, p := chiSquared(tt.counts, tt.k); (p < unlikely) != tt.uneven {
			t.Errorf("%s: x = %g, p = %g, want uneven=%v", tt.name, x, p, tt.uneven)
		}
	}
}

func TestShorten(t *testing.T) {
	in := `table inet fairlead {
	map vips4 {
		elements = { a : b,
			     c : d,
			     e : f,
			     g : h,
			     i : j }
	}

	map vips6 {
		elements = { a : b }
	}

	chain pick4-8 {
		dnat ip to x
		dnat ip to x
		dnat ip to x
		goto pick4-4
	}
}`
	want := `table inet fairlead {
	map vips4 {
		elements = { a : b,
			     c : d,
			     e : f,
		... 1 more
			     i : j }
	}

	map vips6 {
		elements = { a : b }
	}

	chain pick4-8 {
		dnat ip to x
		... 2 more
		goto pick4-4
	}
}`
	if diff := cmp.Diff(want, strings.Join(shorten(strings.Split(in, "\n")), "\n")); diff != "" {
		t.Errorf("shorten (-want +got):\n%s", diff)
	}
}

// TestBlocks picks chains and maps by the beginning of their names.
func TestBlocks(t *testing.T) {
	in := `table inet fairlead {
	map vips4 {
		elements = { a : b }
	}

	chain pick4-8 {
		dnat ip to x
	}

	chain node-pick4-8 {
		dnat ip to y
	}

	chain pick4-4 {
		dnat ip to z
	}
}`
	want := `	chain pick4-8 {
		dnat ip to x
	}
	chain pick4-4 {
		dnat ip to z
	}`
	if diff := cmp.Diff(want, strings.Join(blocks(strings.Split(in, "\n"), "pick4-"), "\n")); diff != "" {
		t.Errorf("blocks (-want +got):\n%s", diff)
	}
}
