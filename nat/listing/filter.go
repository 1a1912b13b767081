// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package listing

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"fairlead/internal/inet"
	"fairlead/nat/ruleset"
)

// filter keeps the elements that packets of one Service meet.
type filter struct {
	frontends map[inet.Addr]bool
	vips      map[netip.Addr]bool
	backends  map[netip.Addr]bool
}

func newFilter(service string, all map[ruleset.Set][]ruleset.Entry) *filter {
	f := &filter{frontends: map[inet.Addr]bool{}, vips: map[netip.Addr]bool{}, backends: map[netip.Addr]bool{}}
	for set, list := range all {
		for i := range list {
			e := &list[i]
			if e.IsMember() || !IsOwner(e.Comment, service) {
				continue
			}
			f.frontends[e.Key], f.vips[e.Key.IP] = true, true
			if set.IsSlots() {
				f.backends[e.Data.Addr()] = true
			}
		}
	}
	return f
}

// IsOwner reports whether a comment names a port of the Service, "namespace/name". A
// long comment was cut off.
func IsOwner(comment, service string) bool {
	if short, ok := strings.CutSuffix(comment, "..."); ok && len(short) <= len(service) {
		return strings.HasPrefix(service, short)
	}
	rest, ok := strings.CutPrefix(comment, service)
	return ok && (rest == "" || rest[0] == ':')
}

// keeps reports whether packets of the Service meet an element. They meet those of
// sets that have no element of a Service.
func (f *filter) keeps(e *ruleset.Element) bool {
	switch e.Set.Kind {
	case ruleset.ClusterIPs:
		return f.vips[e.Key.IP]
	case ruleset.Hairpin, ruleset.Outside:
		return f.backends[e.Client.Addr()]
	case ruleset.HostPorts, ruleset.HostIPPorts:
		return false
	}
	return !f.owns(e.Set) || f.frontends[e.Key]
}

// owns reports whether the elements of a set belong to one Service each.
func (f *filter) owns(s ruleset.Set) bool {
	key := s.Spec().Key
	return slices.Contains(key, ruleset.PartPort) && s.Kind != ruleset.HostPorts && s.Kind != ruleset.HostIPPorts
}

// walk orders the chains as packets meet them: base chains by hook and priority, each
// with what it leads to. It leaves out chains that no packet reaches if only a part
// of the table is printed, and else puts them last.
func (p *printer) walk() {
	chains := p.table.Found.Chains
	byHook := slices.SortedFunc(maps.Keys(chains), func(a, b string) int {
		x, y := chains[a].Hook, chains[b].Hook
		switch {
		case x != nil && y != nil:
			return cmp.Or(cmp.Compare(x.Number, y.Number), cmp.Compare(x.Priority, y.Priority), strings.Compare(a, b))
		case x != nil:
			return -1
		case y != nil:
			return 1
		}
		return strings.Compare(a, b)
	})
	seen := map[string]bool{}
	for _, name := range byHook {
		if chains[name].Hook != nil || !p.isFiltered() {
			p.visit(name, seen)
		}
	}
}

// visit adds a chain and those that it leads to.
func (p *printer) visit(name string, seen map[string]bool) {
	if seen[name] || p.table.Found.Chains[name] == nil {
		return
	}
	seen[name] = true
	p.order = append(p.order, name)
	for _, l := range p.rules[name] {
		for _, set := range l.Sets {
			p.named[set] = true
			s, ok := ruleset.SetNamed(set)
			if !ok || !s.Spec().Verdict {
				continue
			}
			for _, verdict := range verdicts(p.elements[s]) {
				p.visit(verdict, seen)
			}
		}
		if l.Chain != "" {
			p.visit(l.Chain, seen)
		}
	}
}

// verdicts returns the different verdicts of elements, sorted.
func verdicts(list []ruleset.Entry) []string {
	unique := map[string]struct{}{}
	for i := range list {
		unique[list[i].Verdict] = struct{}{}
	}
	return slices.Sorted(maps.Keys(unique))
}

// HasService reports whether the table has a frontend of a Service.
func (t *Table) HasService(service string) bool {
	for e := range t.Found.Elements.All() {
		if e.Set.Spec().Verdict && IsOwner(e.Comment, service) {
			return true
		}
	}
	return false
}
