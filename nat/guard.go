// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nat

import (
	"encoding/binary"
	"fmt"
	"strings"

	"fairlead/internal/inet"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// invalidRules drop what a pod or another backend sends on a connection that
// connection tracking has lost, see Settings.KeepInvalid. Invalid packets have
// no connection, so that the source is all there is to tell them by.
func invalidRules() []rule {
	var rules []rule
	for _, f := range inet.Families() {
		for _, k := range []kind{kCluster, kOutside} {
			set := setID{k, f}
			rules = append(rules, newRule(
				fmt.Sprintf("%s saddr @%s drop", ipWord(f), set),
				onlyFamily(f), saddr(f, reg1), inSet(set), drop()))
		}
	}
	return rules
}

// gotoInvalid has invalidRules look at the packets that they are for.
func gotoInvalid() rule {
	return newRule("ct state invalid meta l4proto tcp goto "+chainInvalidSource,
		ctState(stateInvalid), protocol(unix.IPPROTO_TCP), gotoChain(chainInvalidSource))
}

// rules masquerade what leaves the cluster. They stand behind those of Services,
// so what these masquerade never gets here.
func (e *Egress) rules() []rule {
	if len(e.Sources) == 0 {
		return nil
	}
	var rules []rule
	for _, f := range inet.Families() {
		from, to, nodes := setID{kEgress, f}, setID{kNoMasquerade, f}, setID{kNodes, f}
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

// incoming drops tunnel packets of pods, on their way to any node, and those of
// strangers; the others need no entry in the connection tracking table, where
// they would take one for each flow inside the tunnels.
//
// The kernel's VXLAN socket listens on all addresses (vxlan_create_sock), so
// that whatever ends on this node is looked at: gateways of pods, broadcasts and
// ff02::1 included.
func (o *Tunnels) incoming() []rule {
	var rules []rule
	for _, name := range o.PodInterfaces {
		rules = append(rules, newRule(fmt.Sprintf("iifname %q fib daddr type != unicast drop", name),
			interfaceName(expr.CmpOpEq, interfacePattern(name)), notUnicast(), drop()))
	}
	for _, f := range inet.Families() {
		cluster, nodes, vteps := setID{kCluster, f}, setID{kNodes, f}, setID{kVTEPs, f}
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

// outgoing leaves this node's own tunnel packets to other nodes untracked, and
// nobody else's, who may want to translate his.
func (o *Tunnels) outgoing() []rule {
	var rules []rule
	for _, f := range inet.Families() {
		nodes, vteps := setID{kNodes, f}, setID{kVTEPs, f}
		rules = append(rules, newRule(
			fmt.Sprintf("%s saddr @%s %s daddr @%s notrack", ipWord(f), vteps, ipWord(f), nodes),
			onlyFamily(f), saddr(f, reg1), inSet(vteps), daddr(f, reg1), inSet(nodes), one(&expr.Notrack{})))
	}
	return rules
}

// gotoChain has rules of the chain look at tunnel packets alone.
func (o *Tunnels) gotoChain(name string) rule {
	port := append(dport(reg1), &expr.Cmp{Op: expr.CmpOpEq, Register: reg1, Data: binary.BigEndian.AppendUint16(nil, o.Port)})
	return newRule(fmt.Sprintf("udp dport %d goto %s", o.Port, name), protocol(unix.IPPROTO_UDP), port, gotoChain(name))
}

// protocol matches the transport protocol.
func protocol(p byte) []expr.Any {
	return append(l4proto(reg1), &expr.Cmp{Op: expr.CmpOpEq, Register: reg1, Data: []byte{p}})
}

// interfacePattern returns the bytes that the kernel compares an interface name
// with: all of them, or those before the star.
func interfacePattern(name string) []byte {
	if prefix, ok := strings.CutSuffix(name, "*"); ok {
		return []byte(prefix)
	}
	b := make([]byte, unix.IFNAMSIZ)
	copy(b, name)
	return b
}
