// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package overlay

import "slices"

// Op is what a Step does.
type Op uint8

// The operations on an Entry.
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

// Diff returns the steps that lead from have to want. Additions come first, in the
// order of kinds, so that every route leads somewhere at any time and a peer that
// changes its MAC or address stays connected. Removals follow in reverse order.
func Diff(have, want Entries) []Step {
	var d differ
	for k := range want {
		d.compare(k, have, want)
	}
	for k := range have {
		if _, wanted := want[k]; !wanted {
			d.compare(k, have, want)
		}
	}
	return d.steps()
}

// differ collects steps.
type differ struct{ additions, removals []Step }

func (d *differ) compare(k Key, have, want Entries) {
	h, exists := have[k]
	w, wanted := want[k]
	switch {
	case wanted && !exists:
		d.additions = append(d.additions, Step{Add, w})
	case wanted && h != w:
		d.additions = append(d.additions, Step{Replace, w})
	case exists && !wanted:
		d.removals = append(d.removals, Step{Remove, h})
	}
}

func (d *differ) steps() []Step {
	slices.SortFunc(d.additions, func(a, b Step) int { return a.compare(&b.Entry) })
	slices.SortFunc(d.removals, func(a, b Step) int { return b.compare(&a.Entry) })
	return slices.Concat(d.additions, d.removals)
}
