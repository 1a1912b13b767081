// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package stat

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func samples(subject string, rounds ...[]float64) (out []Sample) {
	for round, values := range rounds {
		for _, v := range values {
			out = append(out, Sample{Subject: subject, Round: round, Value: v})
		}
	}
	return out
}

func TestDescribe(t *testing.T) {
	in := []float64{4, 1, 3, 2, 100}
	want := Summary{N: 5, Min: 1, Q1: 2, Median: 3, Q3: 4, P99: 100, Max: 100}
	if diff := cmp.Diff(want, Describe(in)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if in[0] != 4 {
		t.Error("the order of the values has changed")
	}
	if got := Describe(nil); got != (Summary{}) {
		t.Errorf("nothing has the summary %v", got)
	}
}

// A machine that is slow in one round is slow for both, and the ratio stays.
func TestCompareWithinRounds(t *testing.T) {
	got := Compare(samples("peer", []float64{10, 10, 30}, []float64{100}, []float64{7}), samples("ours", []float64{5}, []float64{50}))
	if want := (Ratio{Rounds: 2, Median: 2, Min: 2, Max: 2}); got != want {
		t.Errorf("%v, want %v", got, want)
	}
}

// A bound above the line is a bound of the ratio. Below the line it says nothing.
func TestCompareBounds(t *testing.T) {
	bound := []Sample{{Value: 30, AtLeast: true}}
	plain := []Sample{{Value: 3}}
	if got := Compare(bound, plain); got.Median != 10 || !got.AtLeast {
		t.Errorf("%v", got)
	}
	if got := Compare(plain, bound); got.Rounds != 0 {
		t.Errorf("%v", got)
	}
	if got := Compare(plain, []Sample{{}}); got.Rounds != 0 {
		t.Errorf("a ratio to nothing: %v", got)
	}
}

// One bound among many values leaves the median a value.
func TestSummarizeBounds(t *testing.T) {
	list := []Sample{{Value: 1}, {Value: 2}, {Value: 30, AtLeast: true}}
	if got := Summarize(list); got.AtLeast || got.Median != 2 {
		t.Errorf("%v", got)
	}
	if got := Summarize(list[1:]); !got.AtLeast {
		t.Errorf("half of the values are bounds: %v", got)
	}
}
