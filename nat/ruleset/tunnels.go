// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package ruleset

import (
	"encoding/binary"
	"fmt"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"fairlead/internal/inet"
	"fairlead/nat"
)

// incomingRules drop tunnel packets of pods, on their way to any node, and those of
// strangers; the others need no entry in the connection tracking table, where
// they would take one for each flow inside the tunnels.
//
// The kernel's VXLAN socket listens on all addresses (vxlan_create_sock), so
// that whatever ends on this node is looked at: gateways of pods, broadcasts and
// ff02::1 included.
func incomingRules(o *nat.Tunnels) []rule {
	var rules []rule
	for _, name := range o.PodInterfaces {
		rules = append(rules, newRule(fmt.Sprintf("iifname %q fib daddr type != unicast drop", name),
			interfaceName(expr.CmpOpEq, interfacePattern(name)), notUnicast(), drop()))
	}
	for _, f := range inet.Families() {
		cluster, nodes, vteps := Set{Cluster, f}, Set{Nodes, f}, Set{VTEPs, f}
		ip := ipWord(f)
		toNode := append(append(onlyFamily(f), daddr(f, reg1)...), inSet(nodes)...)
		for _, name := range o.PodInterfaces {
			rules = append(rules, newRule(
				fmt.Sprintf("iifname %q %s daddr @%s drop", name, ip, nodes),
				interfaceName(expr.CmpOpEq, interfacePattern(name)), toNode, drop()))
		}
		rules = append(rules,
			newRule(fmt.Sprintf("%s saddr @%s %s daddr @%s drop", ip, cluster, ip, nodes),
				onlyFamily(f), saddr(f, reg1), inSet(cluster), daddr(f, reg1), inSet(nodes), drop()),
			newRule(fmt.Sprintf("%s saddr != @%s fib daddr type != unicast drop", ip, nodes),
				onlyFamily(f), saddr(f, reg1), notInSet(nodes), notUnicast(), drop()),
			newRule(fmt.Sprintf("%s daddr @%s notrack", ip, vteps),
				onlyFamily(f), daddr(f, reg1), inSet(vteps), one(&expr.Notrack{})))
	}
	return rules
}

// outgoingRules leave this node's own tunnel packets to other nodes untracked, and
// nobody else's, who may want to translate his.
func outgoingRules(o *nat.Tunnels) []rule {
	var rules []rule
	for _, f := range inet.Families() {
		nodes, vteps := Set{Nodes, f}, Set{VTEPs, f}
		rules = append(rules, newRule(
			fmt.Sprintf("%s saddr @%s %s daddr @%s notrack", ipWord(f), vteps, ipWord(f), nodes),
			onlyFamily(f), saddr(f, reg1), inSet(vteps), daddr(f, reg1), inSet(nodes), one(&expr.Notrack{})))
	}
	return rules
}

// tunnelJump has rules of the chain look at tunnel packets alone.
func tunnelJump(o *nat.Tunnels, name string) rule {
	port := append(dport(reg1), &expr.Cmp{Op: expr.CmpOpEq, Register: reg1, Data: binary.BigEndian.AppendUint16(nil, o.Port)})
	return newRule(fmt.Sprintf("udp dport %d goto %s", o.Port, name), protocol(unix.IPPROTO_UDP), port, gotoChain(name))
}
