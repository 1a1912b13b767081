// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package ruleset

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"fairlead/internal/inet"
	"fairlead/internal/nft"
	"fairlead/nat"
)

// masqueradeChain returns the rules that every masquerade of the table ends in.
// While a tunnel ends on this node, the kernel draws the source ports of UDP flows
// from a range without the tunnel's port. The reply to a flow from that port would
// reach the VXLAN socket instead of the flow's client.
func masqueradeChain(t *nat.Tunnels) []rule {
	all := newRule("masquerade fully-random", one(&expr.Masq{FullyRandom: true}))
	if t.Port == 0 {
		return []rule{all}
	}
	low, high := portsBeside(t.Port)
	first, last := binary.BigEndian.AppendUint16(nil, low), binary.BigEndian.AppendUint16(nil, high)
	return []rule{
		newRule(fmt.Sprintf("meta l4proto udp masquerade to :%d-%d fully-random", low, high),
			protocol(unix.IPPROTO_UDP),
			one(&expr.Immediate{Register: reg1, Data: first}, &expr.Immediate{Register: reg2, Data: last},
				&nft.MasqueradePorts{Masq: expr.Masq{FullyRandom: true, ToPorts: true, RegProtoMin: reg1, RegProtoMax: reg2}})),
		all,
	}
}

// lowestPort is the lowest source port that the kernel gives an unprivileged flow
// (nf_nat_l4proto_unique_tuple).
const lowestPort = 1024

// portsBeside returns the larger range of source ports above or below port.
func portsBeside(port uint16) (low, high uint16) {
	if port < lowestPort {
		return lowestPort, math.MaxUint16
	}
	if port-lowestPort > math.MaxUint16-port {
		return lowestPort, port - 1
	}
	return port + 1, math.MaxUint16
}

// egressRules masquerade connections that leave the cluster. They stand behind the
// rules of Services and see no packet that those masquerade.
func egressRules(e *nat.Egress) []rule {
	if len(e.Sources) == 0 {
		return nil
	}
	var rules []rule
	for _, f := range inet.Families() {
		from, to, nodes := Set{Kind: Egress, Family: f}, Set{Kind: NoMasquerade, Family: f}, Set{Kind: Nodes, Family: f}
		text := fmt.Sprintf("%s saddr @%s %s daddr != @%s", ipWord(f), from, ipWord(f), to)
		parts := [][]expr.Any{onlyFamily(f), saddr(f, reg1), inSet(from), daddr(f, reg1), notInSet(to)}
		if e.KeepNodes {
			text += fmt.Sprintf(" %s daddr != @%s", ipWord(f), nodes)
			parts = append(parts, daddr(f, reg1), notInSet(nodes))
		}
		rules = append(rules, newRule(text+" goto "+chainMasquerade, append(parts, gotoChain(chainMasquerade))...))
	}
	return rules
}

// masqueradeRules clear the mark bit in the rule that acts on it: a VXLAN
// packet inherits the mark of the packet that it carries and must not be
// masqueraded itself (kubernetes/kubernetes#92035).
func masqueradeRules(s *nat.Settings) []rule {
	m := s.Mark()
	rules := []rule{newRule(
		fmt.Sprintf("meta mark & 0x%08x == 0x%08x meta mark set meta mark & 0x%08x goto %s", m, m, ^m, chainMasquerade),
		hasMarkBit(m), clearMarkBit(m), gotoChain(chainMasquerade))}
	for _, f := range inet.Families() {
		hairpin := Set{Kind: Hairpin, Family: f}
		rules = append(rules, newRule(
			fmt.Sprintf("ct status dnat %s saddr . %s daddr @%s goto %s", ipWord(f), ipWord(f), hairpin, chainMasquerade),
			ctStatusDNAT(), onlyFamily(f), saddr(f, reg1), daddr(f, next(reg1, AddrLen(f))), inSet(hairpin), gotoChain(chainMasquerade)))
	}
	if s.ServesLoopback() {
		text, match := loopback(inet.IPv4, expr.CmpOpEq, true)
		rules = append(rules, newRule(
			fmt.Sprintf("ct status dnat oif != \"lo\" %s goto %s", text, chainMasquerade),
			ctStatusDNAT(), notByLoopback(expr.MetaKeyOIF), onlyFamily(inet.IPv4), match, gotoChain(chainMasquerade)))
	}
	return append(rules, egressRules(&s.Egress)...)
}
