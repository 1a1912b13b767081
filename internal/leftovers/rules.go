// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package leftovers

import (
	"fmt"
	"slices"
	"strings"
)

// rules plans the removals from one table of iptables.
func (p *planner) rules(t *Table) {
	if len(p.names.chains) == 0 {
		return
	}
	byName := map[string]*Chain{}
	for i := range t.Chains {
		byName[t.Chains[i].Name] = &t.Chains[i]
	}
	out := Removal{Kind: KindRules, Name: t.String()}
	kept := map[string]bool{} // chains of the owner that another program needs
	for i := range t.Chains {
		c := &t.Chains[i]
		if !c.Base && p.names.ownsChain(c.Name) {
			continue
		}
		for n, r := range c.Rules {
			target := byName[r.Target]
			if target == nil || target.Base || !p.names.ownsChain(r.Target) {
				continue
			}
			if c.Base && slices.Contains(p.names.jumps, jump{t.Name, c.Name, r.Target}) {
				out.Rules = append(out.Rules, JumpRule{Chain: c.Name, Rule: r, Number: n + 1})
				continue
			}
			p.foreign(t, c.Name, r.Target)
			keep(byName, r.Target, kept)
		}
	}
	for i := range t.Chains {
		if c := &t.Chains[i]; !c.Base && p.names.ownsChain(c.Name) && !kept[c.Name] {
			out.Chains = append(out.Chains, c.Name)
		}
	}
	slices.Sort(out.Chains)
	if len(out.Rules)+len(out.Chains) > 0 {
		p.remove(out)
	}
}

// keep marks a chain, and all that it leads to.
func keep(byName map[string]*Chain, name string, kept map[string]bool) {
	c := byName[name]
	if c == nil || kept[name] {
		return
	}
	kept[name] = true
	for _, r := range c.Rules {
		keep(byName, r.Target, kept)
	}
}

func (p *planner) foreign(t *Table, from, target string) {
	tool := "iptables"
	if t.Family == "ip6" {
		tool = "ip6tables"
	}
	p.leave(fmt.Sprintf("chain %s of table %s", target, t),
		fmt.Sprintf("chain %s, which is not %s's, leads to it", from, p.owner),
		strings.Join([]string{tool, "-t", t.Name, "-S", from}, " ")+" shows the rule; remove it and repeat")
}
