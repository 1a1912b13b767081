// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package stat

import (
	"maps"
	"math"
	"slices"
)

// Summary describes a list of values.
type Summary struct {
	N                             int
	Min, Q1, Median, Q3, P99, Max float64
	AtLeast                       bool // some values are bounds, so the true median may be larger
}

// Summarize returns the summary of samples, with N 0 for none.
func Summarize(samples []Sample) Summary {
	values := make([]float64, len(samples))
	censored := 0
	for i, x := range samples {
		values[i] = x.Value
		if x.AtLeast {
			censored++
		}
	}
	out := Describe(values)
	out.AtLeast = censored > 0 && 2*censored >= len(samples)
	return out
}

// Describe returns the summary of values, which it leaves in their order.
func Describe(values []float64) Summary {
	if len(values) == 0 {
		return Summary{}
	}
	sorted := slices.Sorted(slices.Values(values))
	return Summary{
		N: len(sorted), Min: sorted[0], Max: sorted[len(sorted)-1],
		Q1: quantile(sorted, 0.25), Median: quantile(sorted, 0.5), Q3: quantile(sorted, 0.75), P99: nearest(sorted, 0.99),
	}
}

// quantile interpolates between neighbours (R-7, the default of R and NumPy).
func quantile(sorted []float64, q float64) float64 {
	at := q * float64(len(sorted)-1)
	low := int(math.Floor(at))
	high := min(low+1, len(sorted)-1)
	return sorted[low] + (at-float64(low))*(sorted[high]-sorted[low])
}

// nearest is the nearest rank, a value that was really measured: an interpolated tail
// would be made up.
func nearest(sorted []float64, q float64) float64 {
	return sorted[max(0, int(math.Ceil(q*float64(len(sorted))))-1)]
}

// Ratio is how many times larger the values of one subject are than those of another.
type Ratio struct {
	Rounds           int // that both were measured in
	Median, Min, Max float64
	AtLeast          bool // the numerator is a bound
}

// Compare divides the medians of each round in which both were measured.
func Compare(numerator, denominator []Sample) Ratio {
	above, below := byRound(numerator), byRound(denominator)
	var ratios []float64
	bound := false
	for _, round := range slices.Sorted(maps.Keys(above)) {
		if len(below[round]) == 0 {
			continue
		}
		d := Summarize(below[round])
		if d.Median == 0 || d.AtLeast {
			continue // a bound below the line says nothing
		}
		n := Summarize(above[round])
		bound = bound || n.AtLeast
		ratios = append(ratios, n.Median/d.Median)
	}
	s := Describe(ratios)
	return Ratio{Rounds: s.N, Median: s.Median, Min: s.Min, Max: s.Max, AtLeast: bound}
}

func byRound(samples []Sample) map[int][]Sample {
	out := map[int][]Sample{}
	for _, x := range samples {
		out[x.Round] = append(out[x.Round], x)
	}
	return out
}
