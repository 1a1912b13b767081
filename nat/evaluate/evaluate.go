// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package evaluate finds out what a table that was read from the kernel does to the first
// packet of a connection. It executes the expressions of the rules, whoever wrote them,
// as the kernel's nf_tables does, and follows each outcome of a random draw with its
// probability. It does no I/O.
package evaluate

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"

	"github.com/google/nftables"

	"fairlead/internal/inet"
	"fairlead/nat/listing"
	"fairlead/nat/ruleset"
)

// Packet is the first packet of a connection.
type Packet struct {
	Src netip.AddrPort
	Dst inet.Addr
	IIF string // the interface that it comes in by; "" if this node sends it
}

// Host answers what rules ask the kernel beside the table.
type Host interface {
	// IsLocal reports whether an address is one of this node's.
	IsLocal(ip netip.Addr) bool
	// Leads reports whether the route to an address leaves by an interface.
	Leads(to netip.Addr, iface string) bool
	// Out returns the interface by which the packet leaves, and false without a route.
	Out(p Packet, mark uint32) (iface string, ok bool)
}

// Verdicts of an Outcome.
const (
	Accept = "accept"
	Drop   = "drop"
	Reject = "reject"
	// NoRoute means that the kernel has no route for the packet.
	NoRoute = "no route"
)

// Outcome is one of the ways that a packet can take, with its probability.
type Outcome struct {
	Verdict     string
	Probability float64
	To          netip.AddrPort // the destination behind the translation
	Translated  bool
	Masquerade  bool   // the packet leaves with an address of this node
	Local       bool   // this node gets it
	Out         string // the interface that it leaves by
	Mark        uint32 // of the packet
	Steps       []Step // rules that did something, in order
	// Uncertain lists rules that could not be evaluated. They count as not matching.
	Uncertain []string
}

// Step is a rule that did something to the packet.
type Step struct {
	Hook    string `json:"hook"`
	Chain   string `json:"chain"`
	Rule    string `json:"rule"`              // as nft prints it
	Element string `json:"element,omitempty"` // the element that the rule found
	Set     string `json:"set,omitempty"`     // and where
	Owner   string `json:"owner,omitempty"`   // the comment of the element
}

// Table is a table that is ready for evaluation.
type Table struct {
	found   *ruleset.Snapshot
	index   map[ruleset.Set]map[key]*element
	byHook  map[nftables.ChainHook][]*ruleset.Chain // by priority
	texts   map[string][]string                     // of rules, by chain
	dormant bool
}

// element is an element of the index.
type element struct {
	ruleset.Entry
	stray *ruleset.Stray // if another program wrote it
}

// String returns the element as nft prints it.
func (e *element) String() string {
	if e.stray != nil {
		return e.stray.String()
	}
	return e.Element.String()
}

// New prepares a table.
func New(t *listing.Table) *Table {
	out := &Table{
		found: t.Found, index: map[ruleset.Set]map[key]*element{}, byHook: map[nftables.ChainHook][]*ruleset.Chain{},
		texts: map[string][]string{}, dormant: t.Found.Flags&ruleset.TableDormant != 0,
	}
	for e := range t.Found.Elements.All() {
		if _, live := t.Entries[e.Set]; !live {
			out.add(&element{Entry: ruleset.Entry{Element: *e}})
		}
	}
	for _, list := range t.Entries {
		for i := range list {
			out.add(&element{Entry: list[i]})
		}
	}
	for i := range t.Found.Strays {
		if s := &t.Found.Strays[i]; s.Element != (ruleset.Element{}) {
			out.add(&element{Entry: ruleset.Entry{Element: s.Element}, stray: s})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(t.Found.Chains)) {
		if c := t.Found.Chains[name]; c.Hook != nil {
			out.byHook[c.Hook.Number] = append(out.byHook[c.Hook.Number], c)
		}
	}
	for _, list := range out.byHook {
		slices.SortStableFunc(list, func(a, b *ruleset.Chain) int { return cmp.Compare(a.Hook.Priority, b.Hook.Priority) })
	}
	return out
}

func (t *Table) add(e *element) {
	m := t.index[e.Set]
	if m == nil {
		m = map[key]*element{}
		t.index[e.Set] = m
	}
	m[keyOf(&e.Element)] = e
}

// text returns a rule as nft prints it.
func (t *Table) text(c *ruleset.Chain, rule int) string {
	list, ok := t.texts[c.Name]
	if !ok {
		for _, r := range c.Rules {
			list = append(list, listing.Read(r.Exprs).Text)
		}
		t.texts[c.Name] = list
	}
	return list[rule]
}

// Evaluate returns the outcomes for a packet, the most probable first, whose
// probabilities add up to 1.
func (t *Table) Evaluate(p Packet, host Host) []Outcome {
	start := &state{packet: p, original: p, weight: 1}
	m := &machine{table: t, host: host}
	first := nftables.ChainHookPrerouting
	if p.IIF == "" {
		first = nftables.ChainHookOutput
	}
	out := m.hook([]*state{start}, *first)
	for _, s := range out {
		m.route(s)
	}
	out = m.hook(out, *nftables.ChainHookInput, func(s *state) bool { return s.local && p.IIF != "" })
	out = m.hook(out, *nftables.ChainHookForward, func(s *state) bool { return !s.local && p.IIF != "" })
	out = m.hook(out, *nftables.ChainHookPostrouting, func(s *state) bool { return !s.local || p.IIF == "" })
	return outcomes(merge(out))
}

func outcomes(list []*state) []Outcome {
	out := make([]Outcome, len(list))
	for i, s := range list {
		out[i] = Outcome{
			Verdict: cmp.Or(s.verdict, Accept), Probability: s.weight, To: s.packet.Dst.AddrPort(), Translated: s.dnat, Masquerade: s.masquerade,
			Local: s.local, Out: s.out, Mark: s.mark, Steps: s.steps, Uncertain: s.uncertain,
		}
	}
	slices.SortStableFunc(out, func(a, b Outcome) int {
		return cmp.Or(cmp.Compare(b.Probability, a.Probability), a.To.Compare(b.To))
	})
	return out
}

// Common returns the steps that all outcomes begin with.
func Common(list []Outcome) []Step {
	if len(list) == 0 {
		return nil
	}
	out := list[0].Steps
	for _, o := range list[1:] {
		n := 0
		for n < len(out) && n < len(o.Steps) && out[n] == o.Steps[n] {
			n++
		}
		out = out[:n]
	}
	return out
}
