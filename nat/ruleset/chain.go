// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package ruleset describes the table "inet fairlead" as data: its sets, chains,
// rules and elements, the batches that change it and the snapshots that were
// read from it. It does no I/O.
package ruleset

import (
	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// AddRule appends a rule without text. Rules that were read from the kernel have
// none.
func (c *Chain) AddRule(exprs []expr.Any) { c.AddFound(0, exprs) }

// AddFound is AddRule for a rule that the kernel knows by a handle.
func (c *Chain) AddFound(handle uint64, exprs []expr.Any) {
	c.Rules = append(c.Rules, rule{Handle: handle, Exprs: exprs})
}

// Uses calls set for each set that the rules name, and chain for each chain that
// they go to. A name may come more than once.
func (c *Chain) Uses(set, chain func(name string)) {
	for i := range c.Rules {
		c.Rules[i].uses(set, chain)
	}
}

func (r *rule) uses(set, chain func(name string)) {
	for _, e := range r.Exprs {
		switch e := e.(type) {
		case *expr.Lookup:
			set(e.SetName)
		case *expr.Dynset:
			set(e.SetName)
		case *expr.Verdict:
			if e.Chain != "" {
				chain(e.Chain)
			}
		}
	}
}

// SourceCheck is the chain whose rules count packets with a forged source.
const SourceCheck = "source-check"

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
	chainTunnelGuard = "tunnel-guard"
	chainTunnelsOut  = "tunnels-output"
	chainReplies     = "tunnel-replies"
	chainMasquerade  = "masq"   // "masquerade" is a word of nft's
	chainReject      = "refuse" // "reject" is a word of nft's

	// Base chains send matching packets to these, so that all others cost one rule.
	chainRememberNew   = "remember-new"
	chainInvalidSource = "invalid-source"
	chainTunnelIn      = "tunnel-in"
	chainTunnelDrop    = "tunnel-drop"
	chainTunnelOut     = "tunnel-out"
	chainReplyOut      = "tunnel-reply"
)

// Chain is a chain with its rules.
type Chain struct {
	Name  string
	Hook  *Hook // nil for a chain without hook
	Rules []rule
}

// Hook says where a base chain is hooked in.
type Hook struct {
	Type     nftables.ChainType
	Number   nftables.ChainHook
	Priority nftables.ChainPriority
	// Drops is set for policy drop, which drops packets that no rule decides about.
	Drops bool
	Text  string // as nft prints it
}

// Translates reports whether a base chain of this name translates addresses. Each version of
// the table has these chains, whatever its settings.
func Translates(name string) bool {
	hook := Hooks[name]
	return hook != nil && hook.Type == nftables.ChainTypeNAT
}

// SameAs reports whether two hooks are equal apart from their policies. A nil hook
// equals nil only. The policy is the one property that can be changed in place.
func (h *Hook) SameAs(other *Hook) bool {
	if h == nil || other == nil {
		return h == other
	}
	return h.Type == other.Type && h.Number == other.Number && h.Priority == other.Priority
}

// Hooks maps the name of each base chain to its hook. The priorities are part of the contract in docs/dataplane.md.
var Hooks = map[string]*Hook{
	chainPrerouting: {
		Type: nftables.ChainTypeNAT, Number: *nftables.ChainHookPrerouting, Priority: *nftables.ChainPriorityNATDest,
		Text: "type nat hook prerouting priority dstnat; policy accept;",
	},
	// nft has no word for -100 at the output hook.
	chainOutput: {
		Type: nftables.ChainTypeNAT, Number: *nftables.ChainHookOutput, Priority: *nftables.ChainPriorityNATDest,
		Text: "type nat hook output priority -100; policy accept;",
	},
	chainPostrouting: {
		Type: nftables.ChainTypeNAT, Number: *nftables.ChainHookPostrouting, Priority: *nftables.ChainPriorityNATSource,
		Text: "type nat hook postrouting priority srcnat; policy accept;",
	},
	// One step behind the DNAT, when the packet carries the backend.
	chainRemember: {
		Type: nftables.ChainTypeFilter, Number: *nftables.ChainHookPrerouting, Priority: *nftables.ChainPriorityNATDest + 1,
		Text: "type filter hook prerouting priority dstnat + 1; policy accept;",
	},
	chainRememberOut: {
		Type: nftables.ChainTypeFilter, Number: *nftables.ChainHookOutput, Priority: *nftables.ChainPriorityNATDest + 1,
		Text: "type filter hook output priority -99; policy accept;",
	},
	// Behind connection tracking, which has marked invalid packets by then.
	chainInvalid: {
		Type: nftables.ChainTypeFilter, Number: *nftables.ChainHookPrerouting, Priority: *nftables.ChainPriorityMangle,
		Text: "type filter hook prerouting priority mangle; policy accept;",
	},
	// Behind connection tracking, which has found the replies to flows of ours.
	chainTunnelGuard: {
		Type: nftables.ChainTypeFilter, Number: *nftables.ChainHookPrerouting, Priority: *nftables.ChainPriorityMangle,
		Text: "type filter hook prerouting priority mangle; policy accept;",
	},
	// Behind the route, and before the rules of firewalls.
	chainReplies: {
		Type: nftables.ChainTypeFilter, Number: *nftables.ChainHookForward, Priority: *nftables.ChainPriorityMangle,
		Text: "type filter hook forward priority mangle; policy accept;",
	},
	// In front of connection tracking, so that a forged packet makes no entry there.
	SourceCheck: {
		Type: nftables.ChainTypeFilter, Number: *nftables.ChainHookPrerouting, Priority: *nftables.ChainPriorityRaw,
		Text: "type filter hook prerouting priority raw; policy accept;",
	},
	chainTunnels: {
		Type: nftables.ChainTypeFilter, Number: *nftables.ChainHookPrerouting, Priority: *nftables.ChainPriorityRaw,
		Text: "type filter hook prerouting priority raw; policy accept;",
	},
	chainTunnelsOut: {
		Type: nftables.ChainTypeFilter, Number: *nftables.ChainHookOutput, Priority: *nftables.ChainPriorityRaw,
		Text: "type filter hook output priority raw; policy accept;",
	},
}

// rule holds one rule in two forms: the line that nft prints, and the expressions
// that nft itself would send for that line. The registers follow nft as well. To
// restore the line, nft walks the expressions backwards from their registers.
type rule struct {
	Text   string
	Exprs  []expr.Any
	Handle uint64 // of a rule that was read from the kernel, or 0
}

func newRule(text string, parts ...[]expr.Any) rule {
	r := rule{Text: text}
	for _, p := range parts {
		r.Exprs = append(r.Exprs, p...)
	}
	return r
}
