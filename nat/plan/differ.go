// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"fairlead/internal/inet"
	"fairlead/nat/ruleset"
)

// Kinds of objects that another program can change.
const (
	KindTable   = "table"
	KindSet     = "set"
	KindChain   = "chain" // its hook, policy and rules included
	KindElement = "element"
	KindObject  = "object" // a counter or another stateful object, or a flowtable
)

// Kinds returns all kinds of a Difference.
func Kinds() []string { return []string{KindTable, KindSet, KindChain, KindElement, KindObject} }

// Difference says how many objects of a kind another program added, changed or
// removed, and names one of them. The elements of a frontend count as one, and so do
// the ranges of a set.
type Difference struct {
	Kind    string
	Count   int
	Example string
}

// Drift lists the changes of other programs: at most one Difference of each kind.
type Drift []Difference

// String returns, for example, "1 chain (postrouting), 12 elements (vips4 10.96.0.10 . udp . 53)".
func (d Drift) String() string {
	parts := make([]string, len(d))
	for i, diff := range d {
		plural := ""
		if diff.Count != 1 {
			plural = "s"
		}
		parts[i] = fmt.Sprintf("%d %s%s (%s)", diff.Count, diff.Kind, plural, diff.Example)
	}
	return strings.Join(parts, ", ")
}

// note adds an object. The smallest example stays, so that the text does not depend
// on the order of a map.
func (d *Drift) note(kind, example string) {
	i := slices.IndexFunc(*d, func(diff Difference) bool { return diff.Kind == kind })
	if i < 0 {
		*d = append(*d, Difference{kind, 1, example})
		return
	}
	diff := &(*d)[i]
	diff.Count++
	diff.Example = min(diff.Example, example)
}

// Merge adds another Drift to d.
func (d *Drift) Merge(other Drift) {
	for _, diff := range other {
		d.note(diff.Kind, diff.Example)
		i := slices.IndexFunc(*d, func(have Difference) bool { return have.Kind == diff.Kind })
		(*d)[i].Count += diff.Count - 1
	}
}

// drift returns the changes of another program that turned was into h. It does not
// list the content of a table that is missing or dormant. shared are the changes of
// elements that belong to no single frontend.
func (h *holding) drift(was *holding, shared Drift) Drift {
	var d Drift
	switch {
	case !h.exists && was.exists:
		d.note(KindTable, "missing")
		return d
	case isForeign(h.flags):
		d.note(KindTable, fmt.Sprintf("flags %#x", h.flags))
		return d
	case h.flags != was.flags:
		d.note(KindTable, fmt.Sprintf("flags %#x", h.flags))
	case h.exists != was.exists:
		d.note(KindTable, "present")
	}
	h.driftOfSets(was, &d)
	h.driftOfChains(was, &d)
	h.driftOfElements(was, &d)
	d.Merge(shared)
	return d
}

func (h *holding) driftOfSets(was *holding, d *Drift) {
	noteMaps(h.sets, was.sets, func(_, _ struct{}) bool { return true }, func(s ruleset.Set) {
		d.note(KindSet, s.String())
	})
	for s := range h.oddSets {
		if _, known := was.sets[s]; known {
			d.note(KindSet, s.String())
		}
	}
	for _, name := range h.straySets {
		d.note(KindSet, name)
	}
	for _, o := range h.objects {
		d.note(KindObject, o.String())
	}
}

func (h *holding) driftOfChains(was *holding, d *Drift) {
	noteMaps(h.chains, was.chains, func(a, b string) bool { return a == b }, func(name string) { d.note(KindChain, name) })
	for name := range h.oddChains {
		if h.chains[name] == was.chains[name] {
			d.note(KindChain, name)
		}
	}
}

func (h *holding) driftOfElements(was *holding, d *Drift) {
	noteMaps(h.frontends, was.frontends, func(a, b *installed) bool { return !a.differs(b) }, func(key inet.Addr) {
		d.note(KindElement, h.nameOf(key, was))
	})
	noteMaps(h.ranges, was.ranges, slices.Equal[[]netip.Prefix], func(s ruleset.Set) {
		if !h.spoilt[s] {
			d.note(KindElement, "ranges of "+s.String())
		}
	})
	for s := range h.spoilt {
		d.note(KindElement, "ranges of "+s.String())
	}
	for i := range h.junk {
		d.note(KindElement, h.junk[i].Stray.Set.String()+" "+h.junk[i].Stray.String())
	}
}

// nameOf returns the Service and address of a frontend.
func (h *holding) nameOf(key inet.Addr, was *holding) string {
	f := was.frontends[key]
	if f == nil {
		f = h.frontends[key]
	}
	if f.owner == "" {
		return key.String()
	}
	return f.owner + " " + key.String()
}

// noteMaps calls note for each key whose values differ, or that one map lacks.
func noteMaps[M ~map[K]V, K comparable, V any](a, b M, equal func(V, V) bool, note func(K)) {
	for key, v := range a {
		if w, ok := b[key]; !ok || !equal(v, w) {
			note(key)
		}
	}
	for key := range b {
		if _, ok := a[key]; !ok {
			note(key)
		}
	}
}

// differs ignores facts that the kernel does not report: the order of source ranges,
// and whether a frontend without backends would count.
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
