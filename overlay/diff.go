// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package overlay

import "slices"

// Op is what a Step does.
type Op uint8

const (
	Add Op = iota
	Replace
	Remove
)

// Step is one write to the kernel.
type Step struct {
	Op
	Entry
}

// Diff returns the steps that lead from have to want. Additions come first, in
// the order of kinds, so that a route leads nowhere at no time and a peer that
// changes its MAC or its address is not cut off; then removals in reverse.
func Diff(have, want Entries) []Step {
	var steps, removals []Step
	for k, w := range want {
		h, exists := have[k]
		switch {
		case !exists:
			steps = append(steps, Step{Add, w})
		case h != w:
			steps = append(steps, Step{Replace, w})
		}
	}
	for k, h := range have {
		if _, wanted := want[k]; !wanted {
			removals = append(removals, Step{Remove, h})
		}
	}
	slices.SortFunc(steps, func(a, b Step) int { return a.Entry.compare(&b.Entry) })
	slices.SortFunc(removals, func(a, b Step) int { return b.Entry.compare(&a.Entry) })
	return append(steps, removals...)
}
