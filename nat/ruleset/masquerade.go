// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package ruleset

import (
	"fmt"

	"github.com/google/nftables/expr"

	"fairlead/internal/inet"
	"fairlead/nat"
)

// egressRules masquerade what leaves the cluster. They stand behind those of Services,
// so what these masquerade never gets here.
func egressRules(e *nat.Egress) []rule {
	if len(e.Sources) == 0 {
		return nil
	}
	var rules []rule
	for _, f := range inet.Families() {
		from, to, nodes := Set{Egress, f}, Set{NoMasquerade, f}, Set{Nodes, f}
		text := fmt.Sprintf("%s saddr @%s %s daddr != @%s", ipWord(f), from, ipWord(f), to)
		parts := [][]expr.Any{onlyFamily(f), saddr(f, reg1), inSet(from), daddr(f, reg1), notInSet(to)}
		if e.KeepNodes {
			text += fmt.Sprintf(" %s daddr != @%s", ipWord(f), nodes)
			parts = append(parts, daddr(f, reg1), notInSet(nodes))
		}
		rules = append(rules, newRule(text+" masquerade fully-random", append(parts, masquerade())...))
	}
	return rules
}

// masqueradeRules clear the mark bit in the rule that acts on it: a VXLAN
// packet inherits the mark of the packet that it carries and must not be
// masqueraded in its turn (kubernetes/kubernetes#92035).
func masqueradeRules(s *nat.Settings) []rule {
	m := s.Mark()
	rules := []rule{newRule(
		fmt.Sprintf("meta mark & 0x%08x == 0x%08x meta mark set meta mark & 0x%08x masquerade fully-random", m, m, ^m),
		hasMarkBit(m), clearMarkBit(m), masquerade())}
	for _, f := range inet.Families() {
		hairpin := Set{Hairpin, f}
		rules = append(rules, newRule(
			fmt.Sprintf("ct status dnat %s saddr . %s daddr @%s masquerade fully-random", ipWord(f), ipWord(f), hairpin),
			ctStatusDNAT(), onlyFamily(f), saddr(f, reg1), daddr(f, next(reg1, AddrLen(f))), inSet(hairpin), masquerade()))
	}
	return append(rules, egressRules(&s.Egress)...)
}
