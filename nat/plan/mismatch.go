// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
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
	d := &mismatches{found: found, at: map[string]int{}}
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
}

// add notes a difference. A deletion and an addition of one object is a change.
func (d *mismatches) add(what, object, detail string) {
	i, ok := d.at[object]
	if !ok {
		d.at[object] = len(d.list)
		d.list = append(d.list, Mismatch{What: what, Object: object, Detail: detail})
		return
	}
	was := &d.list[i]
	if was.What == extra && what == missing {
		*was = Mismatch{What: changed, Object: object, Detail: fmt.Sprintf("have %s, want %s", was.Detail, detail)}
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
		d.add(changed, "set "+o.Set.String(), "it has elements that are no ranges of addresses")
	case ruleset.AddChain:
		d.readChain(o.Chain)
	case ruleset.DeleteChain:
		if c := d.found.Chains[o.Name]; c != nil {
			d.add(extra, "chain "+o.Name, "")
		}
	case ruleset.DeleteObject:
		d.add(extra, ruleset.Object{Name: o.Name, Type: o.Flags}.String(), "")
	case ruleset.AddElement:
		d.add(missing, elementName(&o.Element), o.Element.String())
	case ruleset.DeleteElement:
		if o.Stray != nil {
			d.add(extra, "element of "+o.Stray.Set.String()+" { "+o.Stray.String()+" }", "")
			return
		}
		d.add(extra, elementName(&o.Element), o.Element.String())
	}
}

// elementName returns the set and the key of an element.
func elementName(e *ruleset.Element) string {
	key := *e
	key.Comment, key.Counter = "", false
	text, _, _ := strings.Cut(key.String(), " : ")
	return fmt.Sprintf("element of %s { %s }", e.Set, text)
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
