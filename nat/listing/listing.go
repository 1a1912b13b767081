// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package listing prints the table that was read from the kernel as nft lists it. It
// needs neither nft nor the settings that the table was made with: it reads the
// expressions of rules. It does no I/O.
package listing

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"fairlead/internal/inet"
	"fairlead/nat/ruleset"
)

// Table is a table as it was read.
type Table struct {
	Found *ruleset.Snapshot
	// Entries are the elements of maps that were read with counters and lifetimes.
	// They stand for the elements of Found in the same maps.
	Entries map[ruleset.Set][]ruleset.Entry
}

// Options say what to print. The zero value is everything that is not repeated.
type Options struct {
	// Full prints empty sets, each repetition of a rule, and all elements of sets
	// that do not belong to Service.
	Full     bool
	Families []inet.Family // nil is both
	Service  string        // "namespace/name"; "" is all
}

// maxOther bounds the elements that are printed of a set that Service shares with
// others.
const maxOther = 16

// Text returns the table as nft lists it, in the order in which packets meet it.
// Lines that begin with "#" say what nft would print in another way: what Options
// leave out, and what another program put into the table.
func (t *Table) Text(o Options) string {
	if !t.Found.Exists {
		return ""
	}
	p := newPrinter(t, &o)
	fmt.Fprintf(&p.out, "table inet %s {\n", ruleset.TableName)
	if t.Found.Flags&ruleset.TableDormant != 0 {
		p.out.WriteString("\tflags dormant\n")
	}
	for _, set := range sets(t.Found) {
		p.printSet(set)
	}
	for _, name := range t.Found.StraySets {
		p.block(fmt.Sprintf("\t# not fairlead's: set %s\n", name))
	}
	for _, name := range p.order {
		p.printChain(t.Found.Chains[name])
	}
	p.summary()
	p.out.WriteString("}\n")
	return p.out.String()
}

// printer prints one table.
type printer struct {
	*Options
	table    *Table
	out      strings.Builder
	blocks   int
	left     int // empty sets that were left out
	elements map[ruleset.Set][]ruleset.Entry
	filter   *filter // nil without Service
	rules    map[string][]Line
	order    []string // chains that are printed
	named    map[string]bool
}

func newPrinter(t *Table, o *Options) *printer {
	p := &printer{Options: o, table: t, elements: map[ruleset.Set][]ruleset.Entry{}, rules: map[string][]Line{}, named: map[string]bool{}}
	all := t.elements()
	if o.Service != "" {
		p.filter = newFilter(o.Service, all)
	}
	for set, list := range all {
		if p.hasFamily(set.Family) {
			p.elements[set] = slices.DeleteFunc(list, func(e ruleset.Entry) bool { return p.filter != nil && !p.filter.keeps(&e.Element) })
			slices.SortFunc(p.elements[set], compareEntries)
		}
	}
	for name, c := range t.Found.Chains {
		for _, r := range c.Rules {
			if line := Read(r.Exprs); p.hasLine(&line) {
				p.rules[name] = append(p.rules[name], line)
			}
		}
	}
	p.walk()
	return p
}

// elements returns all elements by set.
func (t *Table) elements() map[ruleset.Set][]ruleset.Entry {
	out := map[ruleset.Set][]ruleset.Entry{}
	for e := range t.Found.Elements.All() {
		if _, ok := t.Entries[e.Set]; !ok {
			out[e.Set] = append(out[e.Set], ruleset.Entry{Element: *e})
		}
	}
	for set, list := range t.Entries {
		out[set] = slices.Clone(list)
	}
	for set, list := range t.Found.Ranges {
		for _, r := range list {
			out[set] = append(out[set], ruleset.Entry{Element: ruleset.Element{Set: set, Client: r}})
		}
	}
	return out
}

func compareEntries(a, b ruleset.Entry) int {
	return cmp.Or(a.Key.Compare(b.Key), cmp.Compare(a.Slot, b.Slot), netip.Prefix.Compare(a.Client, b.Client), a.Data.Compare(b.Data))
}

func (p *printer) hasFamily(f inet.Family) bool {
	return len(p.Families) == 0 || slices.Contains(p.Families, f)
}

// hasLine reports whether a rule is for a family that is printed.
func (p *printer) hasLine(l *Line) bool {
	return len(l.Families) == 0 || slices.ContainsFunc(l.Families, p.hasFamily)
}

// isFiltered reports whether only a part of the table is printed.
func (p *printer) isFiltered() bool { return len(p.Families) > 0 || p.filter != nil }

func (p *printer) block(text string) {
	if p.blocks > 0 {
		p.out.WriteByte('\n')
	}
	p.blocks++
	p.out.WriteString(text)
}

func (p *printer) printSet(s ruleset.Set) {
	switch {
	case !p.hasFamily(s.Family) || p.filter != nil && !p.named[s.String()]:
		return
	case !p.table.Found.Sets[s]:
		p.block(fmt.Sprintf("\t# declared by another program: %s %s\n", word(s), s))
		return
	}
	list := p.elements[s]
	var strays []string
	for i := range p.table.Found.Strays {
		if stray := &p.table.Found.Strays[i]; stray.Set == s {
			strays = append(strays, fmt.Sprintf("\t# not fairlead's: element %s { %s }\n", s, stray))
		}
	}
	if len(list)+len(strays) == 0 && !p.Full {
		p.left++
		return
	}
	var w strings.Builder
	if p.filter != nil && !p.Full && len(list) > maxOther && !p.filter.owns(s) {
		fmt.Fprintf(&w, "\t# %s %s has %d elements\n", word(s), s, len(list))
	} else {
		texts := make([]string, len(list))
		for i := range list {
			texts[i] = list[i].String()
		}
		ruleset.WriteSet(&w, s, texts)
	}
	p.block(w.String() + strings.Join(strays, ""))
}

func word(s ruleset.Set) string {
	if s.Spec().IsMap() {
		return "map"
	}
	return "set"
}

func (p *printer) printChain(c *ruleset.Chain) {
	var w strings.Builder
	if !ruleset.IsChainName(c.Name) {
		fmt.Fprintf(&w, "\t# not fairlead's: chain %s\n", c.Name)
	}
	fmt.Fprintf(&w, "\tchain %s {\n", c.Name)
	if c.Hook != nil {
		fmt.Fprintf(&w, "\t\t%s\n", hookText(c.Hook))
	}
	rules := p.rules[c.Name]
	for i := 0; i < len(rules); {
		n := 1
		for !p.Full && i+n < len(rules) && rules[i+n].Text == rules[i].Text {
			n++
		}
		fmt.Fprintf(&w, "\t\t%s", rules[i].Text)
		if n > 1 {
			fmt.Fprintf(&w, " # %d times", n)
		}
		w.WriteByte('\n')
		i += n
	}
	w.WriteString("\t}\n")
	p.block(w.String())
}

// summary says what was left out.
func (p *printer) summary() {
	if p.left > 0 {
		fmt.Fprintf(&p.out, "\n\t# %d empty sets and maps are left out\n", p.left)
	}
}

// LiveSets returns the maps of a table to read with counters and lifetimes: those of
// session affinity, and those of backends that are counted.
func LiveSets(found *ruleset.Snapshot) []ruleset.Set {
	counted := map[ruleset.Set]bool{}
	for e := range found.Elements.All() {
		if e.Counter {
			counted[e.Set] = true
		}
	}
	var out []ruleset.Set
	for _, s := range sets(found) {
		if found.Sets[s] && (s.Spec().Learnt || counted[s]) {
			out = append(out, s)
		}
	}
	return out
}

// sets returns the sets that exist, in the order of their declaration.
func sets(found *ruleset.Snapshot) []ruleset.Set {
	return slices.SortedFunc(maps.Keys(found.Sets), ruleset.CompareSets)
}
