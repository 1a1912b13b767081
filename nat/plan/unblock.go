// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
	"maps"
	"slices"

	"fairlead/nat"
	"fairlead/nat/ruleset"
)

// Unblock returns the next batch that removes from the table what may keep this node from
// the API server, while its objects are not known, and what that repairs. The batch is
// empty when nothing is left. Sets and elements stay in place, because connections use them,
// and so do rules of other versions; UnblockElements is for elements. It works in this order:
//
//   - A dormant table is woken.
//   - Base chains get the policy accept. Rules of other programs are deleted from base
//     chains and chains of the program, and base chains of other programs with them.
//   - A chain of the program at another hook moves, with its rules. One without any rule
//     gets those that the settings give, and one of a frontend those that its name gives, if
//     the sets exist that they name. The chains that translate are made if they are missing.
func Unblock(found *ruleset.Snapshot, set *nat.Settings) (ruleset.Batch, Drift) {
	u := unblock{found: found, own: ruleset.NewOwn(set)}
	if !found.Exists || isForeign(found.Flags) {
		return nil, nil
	}
	if found.Flags == ruleset.TableDormant {
		u.drift.note(KindTable, fmt.Sprintf("flags %#x", found.Flags))
		return ruleset.Batch{{Verb: ruleset.AddTable}}, u.drift
	}
	for _, name := range slices.Sorted(maps.Keys(found.Chains)) {
		u.noting(name, func() { u.open(found.Chains[name]) })
	}
	if len(u.batch) == 0 {
		u.restoreAll(set)
	}
	return u.batch, u.drift
}

// unblock plans one batch.
type unblock struct {
	found *ruleset.Snapshot
	own   *ruleset.Own
	batch ruleset.Batch
	drift Drift
	// wanted are the chains that the settings and the names of chains give, and made are those
	// among them that the batch makes.
	wanted map[string]*ruleset.Chain
	made   map[string]bool
}

func (u *unblock) add(op ruleset.Op) { u.batch = append(u.batch, op) }

// noting notes a chain that repair changes.
func (u *unblock) noting(name string, repair func()) {
	before := len(u.batch)
	if repair(); len(u.batch) > before {
		u.drift.note(KindChain, name)
	}
}

// open lets packets pass a chain.
func (u *unblock) open(c *ruleset.Chain) {
	foreign, rest := u.own.Split(c)
	switch {
	case c.Hook != nil && !ruleset.IsChainName(c.Name) && len(rest.Rules) == 0:
		u.add(ruleset.Op{Verb: ruleset.FlushChain, Name: c.Name})
		u.add(ruleset.Op{Verb: ruleset.DeleteChain, Name: c.Name})
		return
	case c.Hook != nil && c.Hook.Drops:
		u.add(ruleset.Op{Verb: ruleset.AcceptChain, Name: c.Name})
	}
	if len(foreign.Rules) > 0 {
		u.add(ruleset.Op{Verb: ruleset.DeleteRules, Chain: &foreign})
	}
}

// restoreAll puts chains back in their places, each one after those that it goes to.
func (u *unblock) restoreAll(set *nat.Settings) {
	u.wanted, u.made = map[string]*ruleset.Chain{}, map[string]bool{}
	var sources []ruleset.Set
	for s, ours := range u.found.Sets {
		if ours && s.Kind == ruleset.Sources {
			sources = append(sources, s)
		}
	}
	slices.SortFunc(sources, ruleset.CompareSets)
	loopback := *set
	loopback.Loopback = true // as the addresses of the node may ask for
	chains := slices.Concat(ruleset.Program(&loopback, true, sources), ruleset.Program(set, true, sources))
	for _, name := range slices.Sorted(maps.Keys(u.found.Chains)) {
		chains = append(chains, ruleset.ChainsOf(name, set)...)
	}
	for i := range chains {
		u.wanted[chains[i].Name] = &chains[i]
	}
	for i := range chains {
		if name := chains[i].Name; u.found.Chains[name] != nil || ruleset.Translates(name) {
			u.restore(u.wanted[name])
		}
	}
}

// restore puts a chain back in its place, if it is elsewhere, has no rule or is missing. It
// reports whether the chain is then there.
func (u *unblock) restore(want *ruleset.Chain) bool {
	c := u.found.Chains[want.Name]
	if u.made[want.Name] {
		return true
	}
	moved, empty := c != nil && !c.Hook.SameAs(want.Hook), c == nil || len(c.Rules) == 0
	if !moved && !empty {
		return true
	}
	if empty && (len(want.Rules) == 0 || !u.has(want)) {
		return c != nil
	}
	u.made[want.Name] = true
	u.noting(want.Name, func() {
		if moved {
			u.add(ruleset.Op{Verb: ruleset.FlushChain, Name: want.Name})
			u.add(ruleset.Op{Verb: ruleset.DeleteChain, Name: want.Name})
		}
		made := *want
		if !empty {
			made.Rules = c.Rules
		}
		u.add(ruleset.Op{Verb: ruleset.AddChain, Chain: &made})
	})
	return true
}

// has reports whether the table has what a chain names. Chains that are missing are made, if
// the table has what these name.
func (u *unblock) has(c *ruleset.Chain) bool {
	all := true
	c.Uses(func(name string) {
		set, _ := ruleset.SetNamed(name)
		all = all && u.found.Sets[set]
	}, func(name string) {
		if all && u.found.Chains[name] == nil {
			want := u.wanted[name]
			all = want != nil && u.restore(want)
		}
	})
	return all
}
