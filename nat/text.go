// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nat

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"fairlead/internal/inet"
)

// Text returns the wanted table in nft's language, as nft lists it after the
// State was committed to an empty kernel; the elements of a set are sorted.
func (s *State) Text() string {
	scratch := NewState()
	scratch.Configure(s.settings)
	scratch.SetNodes(s.nodes)
	scratch.SetHostPorts(s.ports)
	for _, key := range slices.SortedFunc(maps.Keys(s.want), inet.Addr.Compare) {
		scratch.Set(key, s.want[key])
	}
	for b := scratch.Next(0); b != nil; b = scratch.Next(0) {
		scratch.Acked(b)
	}
	return scratch.have.text(&scratch.settings)
}

func (r *Ruleset) text(settings *Settings) string {
	var w strings.Builder
	fmt.Fprintf(&w, "table inet %s {\n", TableName)
	elements := r.elements()
	allSets(func(s setID) {
		writeSet(&w, s, elements[s])
		w.WriteByte('\n')
	})
	for i, c := range r.allChains(settings) {
		if i > 0 {
			w.WriteByte('\n')
		}
		writeChain(&w, &c)
	}
	w.WriteString("}\n")
	return w.String()
}

func writeSet(w *strings.Builder, s setID, elements []string) {
	word := "set"
	if s.row().isMap() {
		word = "map"
	}
	fmt.Fprintf(w, "\t%s %s {\n\t\t%s\n", word, s, s.typeText())
	if s.row().learnt {
		fmt.Fprintf(w, "\t\tsize %d\n\t\tflags dynamic,timeout\n", affinitySize)
	}
	if s.row().ranges {
		w.WriteString("\t\tflags interval\n")
	}
	if len(elements) > 0 {
		fmt.Fprintf(w, "\t\telements = { %s }\n", strings.Join(elements, ",\n\t\t\t     "))
	}
	w.WriteString("\t}\n")
}

func writeChain(w *strings.Builder, c *chain) {
	fmt.Fprintf(w, "\tchain %s {\n", c.name)
	if c.base != nil {
		fmt.Fprintf(w, "\t\t%s\n", c.base.text)
	}
	for _, r := range c.rules {
		fmt.Fprintf(w, "\t\t%s\n", r.text)
	}
	w.WriteString("\t}\n")
}

// typeText returns the line that declares the type of a set.
func (s setID) typeText() string {
	row := s.row()
	name := component.typeName
	word := "type"
	if row.typeof() {
		name, word = component.typeofName, "typeof"
	}
	line := word + " " + joinComponents(row.key, s.fam, name)
	switch {
	case row.verdict:
		line += " : verdict"
	case row.data != nil:
		line += " : " + joinComponents(row.data, s.fam, name)
	}
	return line
}

func joinComponents(cs []component, f inet.Family, name func(component, inet.Family) string) string {
	parts := make([]string, len(cs))
	for i, c := range cs {
		parts[i] = name(c, f)
	}
	return strings.Join(parts, " . ")
}

func (c component) typeName(f inet.Family) string {
	switch c {
	case cProto:
		return "inet_proto"
	case cPort, cTarget:
		return "inet_service"
	}
	return fmt.Sprintf("ipv%c_addr", f.Digit())
}

func (c component) typeofName(f inet.Family) string {
	switch c {
	case cProto:
		return "meta l4proto"
	case cPort, cTarget:
		return "tcp dport"
	case cSlot:
		return "numgen random mod 2"
	case cClient:
		return ipWord(f) + " saddr"
	}
	return ipWord(f) + " daddr"
}

// elements returns every element as text, by set and sorted.
func (r *Ruleset) elements() map[setID][]string {
	out := map[setID][]string{}
	note := func(e element) { out[e.set] = append(out[e.set], e.String()) }
	for _, key := range slices.SortedFunc(maps.Keys(r.frontends), inet.Addr.Compare) {
		r.frontends[key].each(key, note)
	}
	for _, e := range slices.SortedFunc(maps.Keys(r.members), compareMembers) {
		note(e)
	}
	for set, ranges := range r.ranges {
		for _, p := range ranges {
			note(element{set: set, client: p})
		}
	}
	return out
}

// each calls f for every element of the frontend.
func (f *frontend) each(key inet.Addr, note func(element)) {
	p := planner{key: key, now: *f}
	if f.verdict != "" {
		note(p.verdictElement())
	}
	if f.remember != "" {
		note(p.rememberElement())
	}
	slots := func(set setID, list []netip.AddrPort) {
		for i, b := range list {
			if b != hole {
				note(p.slotElement(set, i, b))
			}
		}
	}
	slots(backendsOf(key), f.slots)
	slots(localsOf(key), f.locals)
	for _, src := range f.sources {
		note(p.sourceElement(src))
	}
}

// allChains returns the chains of the program and those of the frontends'
// shapes, the former first.
func (r *Ruleset) allChains(settings *Settings) []chain {
	out := program(settings, r.sticks())
	seen := map[string]struct{}{}
	for _, verdict := range slices.Sorted(maps.Keys(r.verdicts)) {
		for _, c := range chainsOf(verdict, settings) {
			if _, ok := seen[c.name]; !ok {
				seen[c.name] = struct{}{}
				out = append(out, c)
			}
		}
	}
	return out
}
