// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package listing

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/google/nftables/expr"

	"fairlead/internal/inet"
	"fairlead/nat/ruleset"
)

// Restoration makes a kernel have a table as it was read.
type Restoration struct {
	// Batches are to be committed in their order, to a kernel without the table.
	Batches []ruleset.Batch
	// Clients are the entries of affinity maps, which have a lifetime.
	Clients map[ruleset.Set][]ruleset.Entry
	// LeftOut says in sentences what a Table does not hold, and so is not restored.
	LeftOut []string
}

// MaxElements bounds the elements of a table that Restore accepts.
const MaxElements = 2_000_000

// maxLeftOut bounds the sentences about one kind of object.
const maxLeftOut = 10

// Restore returns what makes the table. It changes nothing on purpose: rules that another
// program added are part of the result, and elements that are missing stay missing. It
// refuses elements that do not fit their set, and more than MaxElements of them.
func (t *Table) Restore() (*Restoration, error) {
	r := &restorer{table: t, out: &Restoration{Clients: map[ruleset.Set][]ruleset.Entry{}}}
	r.add(ruleset.Op{Verb: ruleset.AddTable})
	r.declare()
	for _, name := range r.chains() {
		r.add(ruleset.Op{Verb: ruleset.AddChain, Chain: &ruleset.Chain{Name: name}})
	}
	r.cut()
	if err := r.fill(); err != nil {
		return nil, err
	}
	r.cut()
	r.program()
	if t.Found.Flags&ruleset.TableDormant != 0 {
		r.cut()
		r.add(ruleset.Op{Verb: ruleset.AdoptTable, Flags: ruleset.TableDormant})
	}
	r.cut()
	r.strangers()
	return r.out, nil
}

// restorer builds one Restoration.
type restorer struct {
	table *Table
	out   *Restoration
	batch ruleset.Batch
	cost  int
}

func (r *restorer) add(op ruleset.Op) {
	if r.cost += op.Cost(); r.cost > ruleset.DefaultLimit {
		r.cut()
		r.cost = op.Cost()
	}
	r.batch = append(r.batch, op)
}

// cut ends a batch.
func (r *restorer) cut() {
	if len(r.batch) > 0 {
		r.out.Batches = append(r.out.Batches, r.batch)
	}
	r.batch, r.cost = nil, 0
}

func (r *restorer) leaveOut(format string, args ...any) {
	r.out.LeftOut = append(r.out.LeftOut, fmt.Sprintf(format, args...))
}

// declare adds the sets. One that another program declared otherwise was not read.
func (r *restorer) declare() {
	for _, set := range sets(r.table.Found) {
		if !r.table.Found.Sets[set] {
			r.leaveOut("Another program declared %s %s in its own way. It is empty here, and declared as fairlead does.", word(set), set)
		}
		r.add(ruleset.Op{Verb: ruleset.AddSet, Set: set})
	}
}

// chains returns the names of chains without a hook. Those with one come last, so that no
// packet meets half a table.
func (r *restorer) chains() []string {
	found := r.table.Found.Chains
	names := slices.Sorted(maps.Keys(found))
	return slices.DeleteFunc(names, func(name string) bool { return found[name].Hook != nil })
}

// fill adds the elements.
func (r *restorer) fill() error {
	n, all := 0, r.table.elements()
	for _, set := range slices.SortedFunc(maps.Keys(all), ruleset.CompareSets) {
		list := all[set]
		if n += len(list); n > MaxElements {
			return fmt.Errorf("restore table: it has more than %d elements", MaxElements)
		}
		for i := range list {
			if err := fits(&list[i].Element); err != nil {
				return fmt.Errorf("restore table: element %s of %s: %w", &list[i].Element, set, err)
			}
			if !set.Spec().Learnt {
				r.add(ruleset.Op{Verb: ruleset.AddElement, Element: list[i].Element})
			}
		}
		if set.Spec().Learnt && r.table.Found.Sets[set] {
			r.out.Clients[set] = list
		}
	}
	return nil
}

// fits returns an error for an element that lacks a part of its key or data, or has one
// of another family.
func fits(e *ruleset.Element) error {
	row := e.Set.Spec()
	need := map[ruleset.Part]netip.Addr{ruleset.PartVIP: e.Key.IP, ruleset.PartClient: e.Client.Addr(), ruleset.PartBackend: e.Client.Addr(), ruleset.PartTarget: e.Data.Addr()}
	if row.Data != nil {
		need[ruleset.PartBackend] = e.Data.Addr()
	}
	if row.IsInterval() {
		need[ruleset.PartVIP] = e.Client.Addr()
	}
	for _, part := range slices.Concat(row.Key, row.Data) {
		ip, isAddr := need[part]
		if isAddr && (!ip.IsValid() || ip.Is4In6() || ip.Zone() != "" || inet.FamilyOf(ip) != e.Set.Family) {
			return fmt.Errorf("its address is not of %s", e.Set.Family)
		}
	}
	if row.Verdict && e.Verdict == "" {
		return errors.New("it has no verdict")
	}
	return nil
}

// program adds the rules, and then the chains with hooks.
func (r *restorer) program() {
	for _, name := range r.chains() {
		r.addChain(r.table.Found.Chains[name])
	}
	for _, name := range slices.Sorted(maps.Keys(r.table.Found.Chains)) {
		if c := r.table.Found.Chains[name]; c.Hook != nil {
			r.addChain(c)
		}
	}
}

// addChain adds a chain without the rules that use what a Table does not hold.
func (r *restorer) addChain(c *ruleset.Chain) {
	out := ruleset.Chain{Name: c.Name, Hook: c.Hook}
	left := 0
	for i := range c.Rules {
		why := r.missing(c.Rules[i].Exprs)
		if why == "" {
			out.AddRule(c.Rules[i].Exprs)
			continue
		}
		if left++; left <= maxLeftOut {
			r.leaveOut("Rule %d of chain %s is left out: it uses %s, which a bundle does not hold.", i+1, c.Name, why)
		}
	}
	if left > maxLeftOut {
		r.leaveOut("%d more rules of chain %s are left out for such reasons.", left-maxLeftOut, c.Name)
	}
	r.add(ruleset.Op{Verb: ruleset.AddChain, Chain: &out})
}

// missing names what a rule uses and the table lacks: a set of another program, such as
// the list of addresses in a rule, or an object.
func (r *restorer) missing(exprs []expr.Any) string {
	line := ruleset.Chain{}
	line.AddRule(exprs)
	why := ""
	line.Uses(func(name string) {
		set, ok := ruleset.SetNamed(name)
		if _, found := r.table.Found.Sets[set]; !ok || !found {
			why = "set " + name
		}
	}, func(name string) {
		if r.table.Found.Chains[name] == nil {
			why = "chain " + name
		}
	})
	for _, e := range exprs {
		if s, ok := e.(fmt.Stringer); ok && slices.Contains([]string{"objref", "flow_offload"}, s.String()) {
			why = "an object"
		}
	}
	return why
}

// strangers says what other programs put into the table and Table knows by name only.
func (r *restorer) strangers() {
	f := r.table.Found
	names := slices.Clone(f.StraySets)
	for _, o := range f.StrayObjects {
		names = append(names, o.String())
	}
	if len(names) > 0 {
		r.leaveOut("Sets and objects of other programs are left out: %s.", some(names))
	}
	names = nil
	for i := range f.Strays {
		names = append(names, f.Strays[i].Set.String())
	}
	if len(names) > 0 {
		r.leaveOut("%d elements that fairlead never writes are left out, of %s.", len(names), some(slices.Compact(slices.Sorted(slices.Values(names)))))
	}
}

func some(names []string) string {
	if len(names) <= maxLeftOut {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:maxLeftOut], ", "), len(names)-maxLeftOut)
}
