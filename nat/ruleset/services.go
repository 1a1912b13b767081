// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package ruleset

import (
	"fmt"

	"fairlead/internal/inet"
	"fairlead/nat"
)

func jumpServices() rule { return newRule("jump "+chainServices, jumpTo(chainServices)) }

// serviceRules dispatch a new connection. NAT chains see the first packet of a
// flow only, so every verdict here concerns new connections only.
func serviceRules(s *nat.Settings) []rule {
	var rules []rule
	for _, f := range inet.Families() {
		ip := ipWord(f)
		load, _ := dialled(f, false)
		rules = append(rules,
			newRule(fmt.Sprintf("%s vmap @%s", dialledText(f, false), Set{Kind: VIPs, Family: f}),
				onlyFamily(f), load, vmap(Set{Kind: VIPs, Family: f})),
			newRule(fmt.Sprintf("%s daddr @%s goto %s", ip, Set{Kind: ClusterIPs, Family: f}, chainReject),
				onlyFamily(f), daddr(f, reg1), inSet(Set{Kind: ClusterIPs, Family: f}), gotoChain(chainReject)),
			newRule(fmt.Sprintf("%s daddr @%s drop", ip, Set{Kind: ServiceCIDRs, Family: f}),
				onlyFamily(f), daddr(f, reg1), inSet(Set{Kind: ServiceCIDRs, Family: f}), drop()),
		)
	}
	for _, f := range inet.Families() {
		load, _ := dialled(f, true)
		text, notLoopback := notLoopback(f, s.LoopbackNodePorts())
		rules = append(rules, newRule(
			fmt.Sprintf("%s%s daddr @%s fib daddr type local %s vmap @%s", text, ipWord(f),
				Set{Kind: NodePortAddrs, Family: f}, dialledText(f, true), Set{Kind: NodePorts, Family: f}),
			onlyFamily(f), notLoopback, daddr(f, reg1), inSet(Set{Kind: NodePortAddrs, Family: f}),
			localAddress(false), load, vmap(Set{Kind: NodePorts, Family: f})))
	}
	for _, f := range inet.Families() {
		rules = append(rules, hostPortRules(s, f)...)
	}
	return rules
}

// hostPortRules send a connection to the pod that the port of this node belongs to.
// The pod sees the address of the client, as it does with a container runtime. Pods
// may ask for any address, so the rules serve only those of this node.
func hostPortRules(s *nat.Settings, f inet.Family) []rule {
	var rules []rule
	for _, node := range []bool{false, true} {
		set := Set{Kind: HostIPPorts, Family: f}
		if node {
			set = Set{Kind: HostPorts, Family: f}
		}
		load, _ := dialled(f, node)
		text, notLoopback := notLoopback(f, s.Loopback)
		if node && text == "" {
			text = "meta nfproto " + nfprotoWord(f) + " "
		}
		rules = append(rules, newRule(
			fmt.Sprintf("%sfib daddr type local dnat %s to %s map @%s", text, ipWord(f), dialledText(f, node), set),
			onlyFamily(f), notLoopback, localAddress(false), load, dnatTo(set)))
	}
	return rules
}
