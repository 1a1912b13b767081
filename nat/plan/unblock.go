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
// empty when nothing is left. Frontends, their chains, sets and elements stay in place,
// because connections use them, and so do rules of other versions. It works in this order:
//
//   - A dormant table is woken.
//   - Base chains get the policy accept. Rules of other programs are deleted from base
//     chains and chains of the program, and base chains of other programs with them.
//   - A chain of the program at another hook moves, with its rules. One without any rule
//     gets those that the settings give, if the sets and chains exist that they name.
func Unblock(found *ruleset.Snapshot, set *nat.Settings) (ruleset.Batch, Drift) {
	u := unblock{found: found, own: ruleset.NewOwn(set)}
	if !found.Exists || isForeign(found.Flags) {
		return nil, nil
	}
	if found.Flags == ruleset.TableDormant {
		u.drift.note(KindTable, fmt.Sprintf("flags %#x", found.Flags))
		return ruleset.Batch{{Verb: ruleset.AddTable}}, u.drift
	}
	for _, repair := range []func(*ruleset.Chain){u.open, u.restore} {
		for _, name := range slices.Sorted(maps.Keys(found.Chains)) {
			before := len(u.batch)
			if repair(found.Chains[name]); len(u.batch) > before {
				u.drift.note(KindChain, name)
			}
		}
		if len(u.batch) > 0 {
			break
		}
	}
	return u.batch, u.drift
}

// unblock plans one batch.
type unblock struct {
	found *ruleset.Snapshot
	own   *ruleset.Own
	batch ruleset.Batch
	drift Drift
}

func (u *unblock) add(op ruleset.Op) { u.batch = append(u.batch, op) }

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

// restore puts a chain of the program back in its place.
func (u *unblock) restore(c *ruleset.Chain) {
	want := u.own.Chain(c.Name)
	if want == nil {
		return
	}
	moved, empty := !c.Hook.SameAs(want.Hook), len(c.Rules) == 0
	if empty && !u.has(want) || !empty && !moved {
		return
	}
	if moved {
		u.add(ruleset.Op{Verb: ruleset.FlushChain, Name: c.Name})
		u.add(ruleset.Op{Verb: ruleset.DeleteChain, Name: c.Name})
	}
	made := *want
	if !empty {
		made.Rules = c.Rules
	}
	u.add(ruleset.Op{Verb: ruleset.AddChain, Chain: &made})
}

// has reports whether the table has what a chain names.
func (u *unblock) has(c *ruleset.Chain) bool {
	all := true
	c.Uses(func(name string) {
		set, _ := ruleset.SetNamed(name)
		all = all && u.found.Sets[set]
	}, func(name string) { all = all && u.found.Chains[name] != nil })
	return all
}
