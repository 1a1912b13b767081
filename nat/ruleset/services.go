// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package ruleset

import (
	"fmt"

	"fairlead/internal/inet"
)

func jumpServices() rule { return newRule("jump "+chainServices, jumpTo(chainServices)) }

// serviceRules dispatch a new connection. NAT chains see the first packet of a
// flow only, so every verdict of ours is for new connections only.
func serviceRules() []rule {
	var rules []rule
	for _, f := range inet.Families() {
		ip := ipWord(f)
		load, _ := dialled(f, false)
		rules = append(rules,
			newRule(fmt.Sprintf("%s vmap @%s", dialledText(f, false), Set{VIPs, f}),
				onlyFamily(f), load, vmap(Set{VIPs, f})),
			newRule(fmt.Sprintf("%s daddr @%s goto %s", ip, Set{ClusterIPs, f}, chainReject),
				onlyFamily(f), daddr(f, reg1), inSet(Set{ClusterIPs, f}), gotoChain(chainReject)),
			newRule(fmt.Sprintf("%s daddr @%s drop", ip, Set{ServiceCIDRs, f}),
				onlyFamily(f), daddr(f, reg1), inSet(Set{ServiceCIDRs, f}), drop()),
		)
	}
	for _, f := range inet.Families() {
		load, _ := dialled(f, true)
		text, notLoopback := notLoopback(f)
		rules = append(rules, newRule(
			fmt.Sprintf("%s %s daddr @%s fib daddr type local %s vmap @%s", text, ipWord(f),
				Set{NodePortAddrs, f}, dialledText(f, true), Set{NodePorts, f}),
			onlyFamily(f), notLoopback, daddr(f, reg1), inSet(Set{NodePortAddrs, f}),
			localAddress(false), load, vmap(Set{NodePorts, f})))
	}
	for _, f := range inet.Families() {
		rules = append(rules, hostPortRules(f)...)
	}
	return rules
}

// hostPortRules send a connection to the pod that the port of this node belongs
// to: as a container runtime would, so the pod sees who dialled.
func hostPortRules(f inet.Family) []rule {
	one, all := Set{HostIPPorts, f}, Set{HostPorts, f}
	byAddr, _ := dialled(f, false)
	byPort, _ := dialled(f, true)
	text, notLoopback := notLoopback(f)
	return []rule{
		newRule(fmt.Sprintf("dnat %s to %s map @%s", ipWord(f), dialledText(f, false), one),
			onlyFamily(f), byAddr, dnatTo(one)),
		newRule(fmt.Sprintf("%s fib daddr type local dnat %s to %s map @%s", text, ipWord(f), dialledText(f, true), all),
			onlyFamily(f), notLoopback, localAddress(false), byPort, dnatTo(all)),
	}
}
