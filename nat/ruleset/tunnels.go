// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package ruleset

import (
	"encoding/binary"
	"fmt"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"fairlead/internal/inet"
	"fairlead/internal/nft"
	"fairlead/nat"
)

// untrackedRules leave the packets of other nodes to this node's tunnels
// untracked. Each flow inside a tunnel would otherwise take an entry in the
// connection tracking table. Any sender can write a node's address into a packet, so
// guardRules check untracked packets, too.
func untrackedRules() []rule {
	var rules []rule
	for _, f := range inet.Families() {
		nodes, vteps := Set{Kind: Nodes, Family: f}, Set{Kind: VTEPs, Family: f}
		rules = append(rules, newRule(
			fmt.Sprintf("%s saddr @%s %s daddr @%s notrack", ipWord(f), nodes, ipWord(f), vteps),
			onlyFamily(f), saddr(f, reg1), inSet(nodes), daddr(f, reg1), inSet(vteps), one(&expr.Notrack{})))
	}
	return rules
}

// guardRules drop tunnel packets that pods send to any node and tunnel packets that
// strangers send to this node. They let the reply to a masqueraded flow through,
// because another program may have masqueraded that flow with the tunnel's port.
//
// The kernel's VXLAN socket listens on all addresses (vxlan_create_sock). The rules
// therefore check every packet that ends on this node, whether it is sent to a
// gateway of pods, a broadcast address or ff02::1.
func guardRules(o *nat.Tunnels) []rule {
	rules := []rule{newRule("ct direction reply ct status snat return", isReply(), ctStatus(ipsSourceNAT), returns())}
	for _, name := range o.PodInterfaces {
		rules = append(rules, newRule(fmt.Sprintf("iifname %q fib daddr type != unicast drop", name),
			interfaceName(expr.CmpOpEq, interfacePattern(name)), notUnicast(), drop()))
	}
	for _, f := range inet.Families() {
		cluster, nodes := Set{Kind: Cluster, Family: f}, Set{Kind: Nodes, Family: f}
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
				onlyFamily(f), saddr(f, reg1), notInSet(nodes), notUnicast(), drop()))
	}
	return rules
}

// replyRules lead the replies of pods to connections from nodes' own addresses back through
// the tunnel by which these came: the route to such an address is that of the underlay. The
// packet gets the address of the gateway to that node's pods until it has its route, and
// a mark, by which restoreRules recognise it. A connection that was translated here came by the
// underlay, and its replies return that way.
func replyRules(o *nat.Tunnels) []rule {
	if o.ReplyMark == 0 {
		return nil
	}
	var rules []rule
	for _, f := range inet.Families() {
		cluster, gateways := Set{Kind: Cluster, Family: f}, Set{Kind: Gateways, Family: f}
		rules = append(rules, newRule(
			fmt.Sprintf("ct direction reply ct status ! dnat %[1]s saddr @%[2]s %[1]s daddr set %[1]s daddr map @%[3]s meta mark set meta mark | 0x%08[4]x", ipWord(f), cluster, gateways, o.ReplyMark),
			isReply(), notTranslated(), onlyFamily(f), saddr(f, reg1), inSet(cluster),
			daddr(f, reg1), mapped(gateways), setDaddr(f, reg1), setMarkBit(o.ReplyMark)))
	}
	return rules
}

// gotoRestore sends what replyRules marked to the chain of restoreRules, so that all other
// packets cost one rule.
func gotoRestore(o *nat.Tunnels) rule {
	return newRule(fmt.Sprintf("meta mark & 0x%08[1]x == 0x%08[1]x ct direction reply goto %[2]s", o.ReplyMark, chainReplyOut),
		hasMarkBit(o.ReplyMark), isReply(), gotoChain(chainReplyOut))
}

// restoreRules give a reply its destination back once it has its route: the address that
// the connection came from. In this hook each reply has that destination, so the rules change no
// packet that another program marked.
func restoreRules(o *nat.Tunnels) []rule {
	var rules []rule
	for _, f := range inet.Families() {
		key := nft.CtKeySrcIP
		if f == inet.IPv6 {
			key = nft.CtKeySrcIP6
		}
		rules = append(rules, newRule(
			fmt.Sprintf("%[1]s daddr set ct original %[1]s saddr meta mark set meta mark & 0x%08[2]x", ipWord(f), ^o.ReplyMark),
			onlyFamily(f), ctOriginal(key, reg1), setDaddr(f, reg1), clearMarkBit(o.ReplyMark)))
	}
	return rules
}

// outgoingRules leave the packets of this node's tunnels to other nodes untracked.
// Other packets to the same port stay tracked, so that they can be translated.
func outgoingRules() []rule {
	var rules []rule
	for _, f := range inet.Families() {
		nodes, vteps := Set{Kind: Nodes, Family: f}, Set{Kind: VTEPs, Family: f}
		rules = append(rules, newRule(
			fmt.Sprintf("%s saddr @%s %s daddr @%s notrack", ipWord(f), vteps, ipWord(f), nodes),
			onlyFamily(f), saddr(f, reg1), inSet(vteps), daddr(f, reg1), inSet(nodes), one(&expr.Notrack{})))
	}
	return rules
}

// tunnelJump sends tunnel packets to the chain, so that all other packets cost one
// rule.
func tunnelJump(o *nat.Tunnels, name string) rule {
	port := append(dport(reg1), &expr.Cmp{Op: expr.CmpOpEq, Register: reg1, Data: binary.BigEndian.AppendUint16(nil, o.Port)})
	return newRule(fmt.Sprintf("udp dport %d goto %s", o.Port, name), protocol(unix.IPPROTO_UDP), port, gotoChain(name))
}
