// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
	"slices"
	"strings"

	"fairlead/nat/ruleset"
)

// Mismatch is one object of the table that differs from the wanted one.
type Mismatch struct {
	// What is "missing", "extra" or "changed".
	What string
	// Object is the object as nft names it, for example "chain services".
	Object string
	// Detail gives the wanted and the present state; it may be empty.
	Detail string
}

// String returns the difference on one line.
func (d Mismatch) String() string {
	text := fmt.Sprintf("%-7s %s", d.What, d.Object)
	if d.Detail != "" {
		text += ": " + d.Detail
	}
	return text
}

// The ways in which an object differs.
const (
	missing = "missing"
	extra   = "extra"
	changed = "changed"
)

// Mismatches compares the table in the kernel with the wanted one and returns one entry
// for each object, in the order in which a repair would reach them. It plans the repair
// to the end as if the kernel carried it out, so the State must not be used afterwards.
// It ignores slots and size classes that the kernel could keep.
func (s *State) Mismatches(found *ruleset.Snapshot) []Mismatch {
	d := &mismatches{found: found, at: map[string]int{}, flushed: map[ruleset.Set]bool{}, differ: map[ruleset.Set]bool{}}
	if !found.Exists {
		return []Mismatch{{What: missing, Object: "table inet " + ruleset.TableName}}
	}
	if found.Flags != 0 {
		d.add(changed, "table inet "+ruleset.TableName, tableFlags(found.Flags))
	}
	s.Adopt(found)
	for step := s.Next(0); step != nil; step = s.Next(0) {
		for i := range step.Batch {
			d.read(&step.Batch[i])
		}
		s.Acked(step)
	}
	d.compareElements()
	return d.list
}

func tableFlags(flags uint32) string {
	if flags == ruleset.TableDormant {
		return "it is dormant, so its chains see no packet"
	}
	return fmt.Sprintf("it has the flags 0x%x of another owner", flags)
}

// mismatches turns the operations of a repair into mismatches.
type mismatches struct {
	found *ruleset.Snapshot
	list  []Mismatch
	at    map[string]int // object -> index in list
	// flushed are the sets whose elements are written anew. They are one difference.
	flushed map[ruleset.Set]bool
	differ  map[ruleset.Set]bool // sets with elements that differ
}

// add notes a difference. An object that is deleted and added has changed.
func (d *mismatches) add(what, object, detail string) {
	i, ok := d.at[object]
	if !ok {
		d.at[object] = len(d.list)
		d.list = append(d.list, Mismatch{What: what, Object: object, Detail: detail})
		return
	}
	was := &d.list[i]
	switch {
	case was.What == extra && what == missing:
		was.What, was.Detail = changed, detail
	case was.What == missing && what == extra:
		was.What = changed
	}
}

func (d *mismatches) read(o *ruleset.Op) {
	switch o.Verb {
	case ruleset.AddSet:
		d.add(missing, "set "+o.Set.String(), "")
	case ruleset.DeleteSet:
		if _, ok := ruleset.SetNamed(o.Name); ok {
			d.add(changed, "set "+o.Name, "it is declared in another way")
		} else {
			d.add(extra, "set "+o.Name, "")
		}
	case ruleset.FlushSet:
		d.flushed[o.Set] = true
		d.add(changed, "set "+o.Set.String(), "it has elements that are no ranges of addresses"+d.example(o.Set))
	case ruleset.AddChain:
		d.readChain(o.Chain)
	case ruleset.DeleteChain:
		if c := d.found.Chains[o.Name]; c != nil {
			d.add(extra, "chain "+o.Name, "")
		}
	case ruleset.DeleteObject:
		d.add(extra, ruleset.Object{Name: o.Name, Type: o.Flags}.String(), "")
	case ruleset.AddElement:
		if !d.flushed[o.Element.Set] {
			d.differ[o.Element.Set] = true
			d.add(missing, elementName(&o.Element), o.Element.String())
		}
	case ruleset.DeleteElement:
		if o.Stray != nil {
			d.add(extra, strayName(o.Stray), "")
			return
		}
		d.differ[o.Element.Set] = true
		d.add(extra, elementName(&o.Element), o.Element.String())
	}
}

// example names an element that a set of ranges should not have.
func (d *mismatches) example(set ruleset.Set) string {
	for i := range d.found.Strays {
		if s := &d.found.Strays[i]; s.Set == set && (s.Key != "" || s.Odd != 0) {
			return ", for example " + s.String()
		}
	}
	return ""
}

// compareElements says of each element that differs what the kernel has, which an operation
// need not say: it deletes an element by its key. A repair also writes elements anew that
// are as they should be, when another element of their frontend differs; these are left out.
func (d *mismatches) compareElements() {
	for e := range d.found.Elements.All() {
		if d.differ[e.Set] { // names take time
			d.compare(elementName(e), e, false)
		}
	}
	for i := range d.found.Strays {
		s := &d.found.Strays[i]
		d.compare(strayName(s), s, true)
	}
	d.list = slices.DeleteFunc(d.list, func(m Mismatch) bool { return m.What == "" })
}

func (d *mismatches) compare(object string, found fmt.Stringer, stray bool) {
	i, differs := d.at[object]
	if !differs {
		return
	}
	have := found.String()
	switch m := &d.list[i]; {
	case m.What == changed && m.Detail == have && !stray:
		*m = Mismatch{}
	case m.What == changed:
		m.Detail = fmt.Sprintf("have %s, want %s", have, m.Detail)
	case m.What == extra:
		m.Detail = have
	}
}

// elementName returns the set and the key of an element.
func elementName(e *ruleset.Element) string {
	key := *e
	key.Comment, key.Counter = "", false
	text, _, _ := strings.Cut(key.String(), " : ")
	return fmt.Sprintf("element of %s { %s }", e.Set, text)
}

// strayName does the same for an element of another program.
func strayName(s *ruleset.Stray) string {
	if s.Element != (ruleset.Element{}) {
		return elementName(&s.Element)
	}
	key := *s
	key.Odd = 0
	return fmt.Sprintf("element of %s { %s }", s.Set, key.String())
}

// readChain describes how a chain differs.
func (d *mismatches) readChain(want *ruleset.Chain) {
	have := d.found.Chains[want.Name]
	object := "chain " + want.Name
	switch {
	case have == nil:
		d.add(missing, object, "")
	case !have.Hook.SameAs(want.Hook):
		d.set(object, "it is attached to another hook")
	case have.Hook != nil && have.Hook.Drops != want.Hook.Drops:
		d.set(object, "it has policy drop, want accept")
	case have.Fingerprint() != want.Fingerprint():
		d.set(object, fmt.Sprintf("its %d rules differ from the %d wanted ones", len(have.Rules), len(want.Rules)))
	}
}

// set notes that an object differs, and replaces any earlier note about it.
func (d *mismatches) set(object, detail string) {
	d.add(changed, object, detail)
	d.list[d.at[object]] = Mismatch{What: changed, Object: object, Detail: detail}
}
