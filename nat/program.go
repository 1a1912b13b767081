// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nat

import (
	"fmt"
	"net/netip"

	"fairlead/internal/inet"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// Chains of the program. Those of shapes are made on demand, see shapes.go.
const (
	chainPrerouting  = "prerouting"
	chainOutput      = "output"
	chainPostrouting = "postrouting"
	chainRemember    = "remember"
	chainRememberOut = "remember-output"
	chainServices    = "services"
	chainInvalid     = "invalid"
	chainTunnels     = "tunnels"
	chainTunnelsOut  = "tunnels-output"
	chainReject      = "refuse" // "reject" is a word of nft's

	// What base chains pass packets on to, so that all others cost one rule.
	chainRememberNew   = "remember-new"
	chainInvalidSource = "invalid-source"
	chainTunnelIn      = "tunnel-in"
	chainTunnelOut     = "tunnel-out"
)

// chain is a chain with its rules.
type chain struct {
	name  string
	base  *base // nil for a chain without hook
	rules []rule
}

// base says where a base chain is hooked in.
type base struct {
	typ      nftables.ChainType
	hook     nftables.ChainHook
	priority nftables.ChainPriority
	text     string // as nft prints it
}

// The hooks. Their priorities are part of the contract in docs/dataplane.md.
var hooks = map[string]*base{
	chainPrerouting: {
		typ: nftables.ChainTypeNAT, hook: *nftables.ChainHookPrerouting, priority: *nftables.ChainPriorityNATDest,
		text: "type nat hook prerouting priority dstnat; policy accept;",
	},
	// nft has no word for -100 at the output hook.
	chainOutput: {
		typ: nftables.ChainTypeNAT, hook: *nftables.ChainHookOutput, priority: *nftables.ChainPriorityNATDest,
		text: "type nat hook output priority -100; policy accept;",
	},
	chainPostrouting: {
		typ: nftables.ChainTypeNAT, hook: *nftables.ChainHookPostrouting, priority: *nftables.ChainPriorityNATSource,
		text: "type nat hook postrouting priority srcnat; policy accept;",
	},
	// One step behind the DNAT, when the packet carries the backend.
	chainRemember: {
		typ: nftables.ChainTypeFilter, hook: *nftables.ChainHookPrerouting, priority: *nftables.ChainPriorityNATDest + 1,
		text: "type filter hook prerouting priority dstnat + 1; policy accept;",
	},
	chainRememberOut: {
		typ: nftables.ChainTypeFilter, hook: *nftables.ChainHookOutput, priority: *nftables.ChainPriorityNATDest + 1,
		text: "type filter hook output priority -99; policy accept;",
	},
	// Behind connection tracking, which has said by then what is invalid.
	chainInvalid: {
		typ: nftables.ChainTypeFilter, hook: *nftables.ChainHookPrerouting, priority: *nftables.ChainPriorityMangle,
		text: "type filter hook prerouting priority mangle; policy accept;",
	},
	// In front of it.
	chainTunnels: {
		typ: nftables.ChainTypeFilter, hook: *nftables.ChainHookPrerouting, priority: *nftables.ChainPriorityRaw,
		text: "type filter hook prerouting priority raw; policy accept;",
	},
	chainTunnelsOut: {
		typ: nftables.ChainTypeFilter, hook: *nftables.ChainHookOutput, priority: *nftables.ChainPriorityRaw,
		text: "type filter hook output priority raw; policy accept;",
	},
}

// program returns the chains that are there whatever Services exist, in an
// order in which each one comes after those it refers to.
//
// Those that remember clients see every packet, and are there only while sticky
// says that there is something to remember.
func program(s *Settings, sticky bool) []chain {
	chains := []chain{
		{name: chainReject, rules: []rule{newRule("reject", reject())}},
		{name: chainServices, rules: serviceRules()},
		{name: chainPostrouting, base: hooks[chainPostrouting], rules: masqueradeRules(s)},
		{name: chainPrerouting, base: hooks[chainPrerouting], rules: []rule{jumpServices()}},
		{name: chainOutput, base: hooks[chainOutput], rules: []rule{jumpServices()}},
	}
	if sticky {
		chains = append(chains,
			chain{name: chainRememberNew, rules: stickyRules()},
			chain{name: chainRemember, base: hooks[chainRemember], rules: []rule{gotoSticky()}},
			chain{name: chainRememberOut, base: hooks[chainRememberOut], rules: []rule{gotoSticky()}})
	}
	if !s.KeepInvalid {
		chains = append(chains,
			chain{name: chainInvalidSource, rules: invalidRules()},
			chain{name: chainInvalid, base: hooks[chainInvalid], rules: []rule{gotoInvalid()}})
	}
	if s.Tunnels.Port != 0 {
		chains = append(chains,
			chain{name: chainTunnelIn, rules: s.Tunnels.incoming()},
			chain{name: chainTunnels, base: hooks[chainTunnels], rules: []rule{s.Tunnels.gotoChain(chainTunnelIn)}},
			chain{name: chainTunnelOut, rules: s.Tunnels.outgoing()},
			chain{name: chainTunnelsOut, base: hooks[chainTunnelsOut], rules: []rule{s.Tunnels.gotoChain(chainTunnelOut)}})
	}
	return chains
}

func jumpServices() rule { return newRule("jump "+chainServices, jumpTo(chainServices)) }

// serviceRules dispatch a new connection. NAT chains see the first packet of a
// flow only, so every verdict of ours is for new connections only.
func serviceRules() []rule {
	var rules []rule
	for _, f := range inet.Families() {
		ip := ipWord(f)
		load, _ := dialled(f, false)
		rules = append(rules,
			newRule(fmt.Sprintf("%s vmap @%s", dialledText(f, false), setID{kVIPs, f}),
				onlyFamily(f), load, vmap(setID{kVIPs, f})),
			newRule(fmt.Sprintf("%s daddr @%s goto %s", ip, setID{kClusterIPs, f}, chainReject),
				onlyFamily(f), daddr(f, reg1), inSet(setID{kClusterIPs, f}), gotoChain(chainReject)),
			newRule(fmt.Sprintf("%s daddr @%s drop", ip, setID{kServiceCIDRs, f}),
				onlyFamily(f), daddr(f, reg1), inSet(setID{kServiceCIDRs, f}), drop()),
		)
	}
	for _, f := range inet.Families() {
		load, _ := dialled(f, true)
		text, notLoopback := notLoopback(f)
		rules = append(rules, newRule(
			fmt.Sprintf("%s %s daddr @%s fib daddr type local %s vmap @%s", text, ipWord(f),
				setID{kNodePortAddrs, f}, dialledText(f, true), setID{kNodePorts, f}),
			onlyFamily(f), notLoopback, daddr(f, reg1), inSet(setID{kNodePortAddrs, f}),
			localAddress(false), load, vmap(setID{kNodePorts, f})))
	}
	for _, f := range inet.Families() {
		rules = append(rules, hostPortRules(f)...)
	}
	return rules
}

// hostPortRules send a connection to the pod that the port of this node belongs
// to: as a container runtime would, so the pod sees who dialled.
func hostPortRules(f inet.Family) []rule {
	one, all := setID{kHostIPPorts, f}, setID{kHostPorts, f}
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

// notLoopback leaves NodePorts on loopback addresses alone: after DNAT their
// packets would leave the node with a loopback source, which is a martian.
func notLoopback(f inet.Family) (string, []expr.Any) {
	if f == inet.IPv6 {
		loopback := netip.IPv6Loopback().As16()
		return "ip6 daddr != ::1", append(daddr(f, reg1),
			&expr.Cmp{Op: expr.CmpOpNeq, Register: reg1, Data: loopback[:]})
	}
	// nft compares the first byte only, as the prefix ends with it.
	return "ip daddr != 127.0.0.0/8", one(
		&expr.Payload{DestRegister: reg1, Base: expr.PayloadBaseNetworkHeader, Offset: 16, Len: 1},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: reg1, Data: []byte{127}})
}

// masqueradeRules clear the mark bit in the rule that acts on it: a VXLAN
// packet inherits the mark of the packet that it carries and must not be
// masqueraded in its turn (kubernetes/kubernetes#92035).
func masqueradeRules(s *Settings) []rule {
	m := s.mark()
	rules := []rule{newRule(
		fmt.Sprintf("meta mark & 0x%08x == 0x%08x meta mark set meta mark & 0x%08x masquerade fully-random", m, m, ^m),
		hasMarkBit(m), clearMarkBit(m), masquerade())}
	for _, f := range inet.Families() {
		hairpin := setID{kHairpin, f}
		rules = append(rules, newRule(
			fmt.Sprintf("ct status dnat %s saddr . %s daddr @%s masquerade fully-random", ipWord(f), ipWord(f), hairpin),
			ctStatusDNAT(), onlyFamily(f), saddr(f, reg1), daddr(f, next(reg1, addrLen(f))), inSet(hairpin), masquerade()))
	}
	return append(rules, s.Egress.rules()...)
}

func (s *Settings) mark() uint32 {
	if s.MasqueradeMark == 0 {
		return DefaultMasqueradeMark
	}
	return s.MasqueradeMark
}
