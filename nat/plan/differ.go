// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"maps"
	"net/netip"
	"slices"
)

// differs reports whether another program has made h of was.
func (h *holding) differs(was *holding) bool {
	return h.exists != was.exists || h.flags != was.flags ||
		len(h.oddSets)+len(h.oddChains)+len(h.spoilt)+len(h.junk)+len(h.straySets) > 0 ||
		!maps.Equal(h.sets, was.sets) || !maps.Equal(h.chains, was.chains) || !maps.Equal(h.members, was.members) ||
		!maps.EqualFunc(h.ranges, was.ranges, slices.Equal[[]netip.Prefix]) ||
		!maps.EqualFunc(h.frontends, was.frontends, func(a, b *installed) bool { return !a.differs(b) })
}

// differs ignores what the kernel does not tell: the order of source ranges, and
// whether a frontend without backends would count.
func (f *installed) differs(was *installed) bool {
	return f.verdict != was.verdict || f.remember != was.remember || f.owner != was.owner || len(f.junk) > 0 ||
		f.oldVerdict != was.oldVerdict || f.oldRemember != was.oldRemember || f.switched != was.switched ||
		!slices.Equal(f.slots, was.slots) || !slices.Equal(f.locals, was.locals) ||
		len(f.slots)+len(f.locals) > 0 && f.counted != was.counted ||
		!sameRanges(f.sources, was.sources) || !sameRanges(f.oldSources, was.oldSources)
}

func sameRanges(a, b []netip.Prefix) bool {
	return len(a) == len(b) && len(without(a, b, nil)) == 0
}
