// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package objects

import (
	"cmp"
	"slices"
	"strings"
)

// Near returns up to most of the names that a person may have meant, the nearest first:
// those that contain the given name, and those that differ by a third of its letters at
// most.
func Near(name string, names []string, most int) []string {
	type scored struct {
		name  string
		score int
	}
	var list []scored
	for _, n := range names {
		d := Distance(name, n)
		switch {
		case d <= (len(name)+2)/3:
			list = append(list, scored{n, d})
		case name != "" && (strings.Contains(n, name) || strings.Contains(name, n)):
			list = append(list, scored{n, len(name) + d})
		}
	}
	slices.SortStableFunc(list, func(a, b scored) int {
		return cmp.Or(cmp.Compare(a.score, b.score), strings.Compare(a.name, b.name))
	})
	var out []string
	for _, s := range list[:min(most, len(list))] {
		out = append(out, s.name)
	}
	return out
}

// Distance is the number of letters to insert, delete or replace (Levenshtein).
func Distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(row[j]+1, row[j+1]+1, cost)
		}
	}
	return row[len(b)]
}
