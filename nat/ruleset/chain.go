// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package ruleset describes the table "inet fairlead" as data: its sets, chains,
// rules and elements, the batches that change it and the snapshots that were
// read from it. It does no I/O.
package ruleset

import (
	"crypto/sha256"
	"fmt"
	"hash"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// Fingerprint identifies a chain's hook and rules, whether they are ours or
// were read from the kernel. It compares what the kernel executes and not the
// text, so that a rule that somebody replaced is found.
func (c *Chain) Fingerprint() string {
	h := sha256.New()
	if c.Hook != nil {
		HookInto(h, c.Hook.Type, &c.Hook.Number, &c.Hook.Priority)
	}
	for _, r := range c.Rules {
		RuleInto(h, r.Exprs)
	}
	return string(h.Sum(nil)[:16])
}

func HookInto(h hash.Hash, typ nftables.ChainType, hook *nftables.ChainHook, prio *nftables.ChainPriority) {
	fmt.Fprintf(h, "hook %s %d %d\n", typ, *hook, *prio)
}

func RuleInto(h hash.Hash, exprs []expr.Any) {
	fmt.Fprintln(h, "rule")
	for _, e := range exprs {
		fmt.Fprintln(h, describe(e))
	}
}

// describe writes an expression in a way that does not depend on whether it was
// built here or read from the kernel.
func describe(e expr.Any) string {
	switch e := e.(type) {
	case *expr.Lookup:
		c := *e
		c.SetID = 0 // the kernel forgets it
		return fmt.Sprintf("lookup %+v", c)
	case *expr.Dynset:
		return fmt.Sprintf("dynset %s %d %d %d %s", e.SetName, e.Operation, e.SrcRegKey, e.SrcRegData, e.Timeout)
	case *expr.NAT:
		c := *e // the kernel reports a single address as a range of one,
		c.RegAddrMax, c.RegProtoMax = max(c.RegAddrMax, c.RegAddrMin), max(c.RegProtoMax, c.RegProtoMin)
		c.Specified = c.RegProtoMin != 0 // and says so in a flag, too
		return fmt.Sprintf("nat %+v", c)
	case *MasqueradePorts:
		return fmt.Sprintf("masquerade %d %d", e.RegProtoMin, e.RegProtoMax)
	case *CtOriginal:
		return fmt.Sprintf("ct original %d %d", e.Key, e.Register)
	}
	return fmt.Sprintf("%T %+v", e, e)
}

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
	chainMasquerade  = "masq"   // "masquerade" is a word of nft's
	chainReject      = "refuse" // "reject" is a word of nft's

	// What base chains pass packets on to, so that all others cost one rule.
	chainRememberNew   = "remember-new"
	chainInvalidSource = "invalid-source"
	chainTunnelIn      = "tunnel-in"
	chainTunnelDrop    = "tunnel-drop"
	chainTunnelOut     = "tunnel-out"
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
	Text     string // as nft prints it
}

// The hooks. Their priorities are part of the contract in docs/dataplane.md.
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
	// Behind connection tracking, which has said by then what is invalid.
	chainInvalid: {
		Type: nftables.ChainTypeFilter, Number: *nftables.ChainHookPrerouting, Priority: *nftables.ChainPriorityMangle,
		Text: "type filter hook prerouting priority mangle; policy accept;",
	},
	// Behind connection tracking, which has found the replies to flows of ours.
	chainTunnelGuard: {
		Type: nftables.ChainTypeFilter, Number: *nftables.ChainHookPrerouting, Priority: *nftables.ChainPriorityMangle,
		Text: "type filter hook prerouting priority mangle; policy accept;",
	},
	// In front of connection tracking.
	chainTunnels: {
		Type: nftables.ChainTypeFilter, Number: *nftables.ChainHookPrerouting, Priority: *nftables.ChainPriorityRaw,
		Text: "type filter hook prerouting priority raw; policy accept;",
	},
	chainTunnelsOut: {
		Type: nftables.ChainTypeFilter, Number: *nftables.ChainHookOutput, Priority: *nftables.ChainPriorityRaw,
		Text: "type filter hook output priority raw; policy accept;",
	},
}

// rule is one rule twice: as nft prints it, and as the expressions that nft
// itself would send for that line. Registers are nft's choice, too: nft finds
// the line again by walking the expressions backwards from their registers.
type rule struct {
	Text  string
	Exprs []expr.Any
}

func newRule(text string, parts ...[]expr.Any) rule {
	r := rule{Text: text}
	for _, p := range parts {
		r.Exprs = append(r.Exprs, p...)
	}
	return r
}
