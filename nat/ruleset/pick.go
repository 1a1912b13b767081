// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package ruleset

import (
	"fmt"
	"strings"

	"github.com/google/nftables/expr"

	"fairlead/internal/inet"
	"fairlead/nat"
)

// chains returns the shape's own chain and the pick chains behind it, each
// after those that it refers to. Shapes that are a plain verdict have none.
func (s Shape) chains(set *nat.Settings) []Chain {
	if !s.policy.Picks() {
		if !s.guarded {
			return nil
		}
		return []Chain{{Name: s.String(), Rules: append(s.guard(), s.refusal())}}
	}
	all, locals := s.picksOf()
	out := all.chains()
	if s.policy == nat.Local && s.locals != noLocals {
		out = append(out, locals.chains()...)
	}
	return append(out, Chain{Name: s.String(), Rules: append(s.guard(), s.decide(set)...)})
}

func (s Shape) refusal() rule {
	if s.policy == nat.Reject {
		return newRule("goto "+chainReject, gotoChain(chainReject))
	}
	return newRule("drop", drop())
}

// guard drops clients outside the frontend's source ranges.
func (s Shape) guard() []rule {
	if !s.guarded {
		return nil
	}
	name := allowedChain(s.Family)
	return []rule{newRule("jump "+name, jumpTo(name))}
}

// decide sets the masquerade mark and goes to the backends.
func (s Shape) decide(set *nat.Settings) []rule {
	all, locals := s.picksOf()
	pickAll := newRule("goto "+all.String(), gotoChain(all.String()))
	mark := setMarkBit(set.Mark())
	markText := fmt.Sprintf("meta mark set meta mark | 0x%08x", set.Mark())

	switch s.policy {
	case nat.External:
		return []rule{newRule(markText, mark), pickAll}
	case nat.Internal:
		if set.MasqueradeAll {
			return []rule{newRule(markText, mark), pickAll}
		}
		if text, outside := podMatch(&set.Pods, s.Family, true); text != "" {
			return []rule{newRule(text+" "+markText, outside, mark), pickAll}
		}
		return []rule{pickAll}
	}
	var rules []rule
	if text, inside := podMatch(&set.Pods, s.Family, false); text != "" {
		rules = append(rules, newRule(text+" goto "+all.String(), inside, gotoChain(all.String())))
	}
	if set.Tunnels.KeepSource {
		own := Set{Kind: VTEPs, Family: s.Family}
		rules = append(rules, newRule(fmt.Sprintf("%s saddr @%s goto %s", ipWord(s.Family), own, all),
			onlyFamily(s.Family), saddr(s.Family, reg1), inSet(own), gotoChain(all.String())))
	}
	rules = append(rules, newRule("fib saddr type local "+markText+" goto "+all.String(),
		localAddress(true), mark, gotoChain(all.String())))
	if s.locals == noLocals {
		return append(rules, newRule("drop", drop()))
	}
	return append(rules, newRule("goto "+locals.String(), gotoChain(locals.String())))
}

// chains returns the chain that draws a backend, behind those that draw once. For sticky
// frontends the chain follows that looks for the backend the client had.
func (p Pick) chains() []Chain {
	if !p.sticky {
		return append(p.drawChains(), Chain{Name: p.String(), Rules: p.pickRules()})
	}
	plain := p
	plain.sticky, plain.share = false, 0
	chains := plain.chains()
	var rules []rule
	for _, affinity := range p.remembered() {
		chain := recallChain(affinity)
		chains = append(chains, chain)
		rules = append(rules, newRule("jump "+chain.Name, jumpTo(chain.Name)))
	}
	rules = append(rules, newRule("goto "+plain.String(), gotoChain(plain.String())))
	return append(chains, Chain{Name: p.String(), Rules: rules})
}

// remembered returns the maps in which a client of the frontend may be: first that of its Service.
func (p Pick) remembered() []Set {
	node := p.set == NodeBackends || p.set == NodeLocals
	local := p.set == Locals || p.set == NodeLocals
	common := affinitySet(p.fam, node, local, 0)
	if p.share == 0 {
		return []Set{common}
	}
	return []Set{affinitySet(p.fam, node, local, p.share), common}
}

// pickRules draw a slot of the class, again and again while the slot is empty,
// then of the half-sized class, in which all backends of a frontend lie whose
// class is less than half full. Slot 0 is empty only if the frontend has no backend.
//
// Each draw is a jump to a chain of one rule. For each new rule that reads a map the kernel
// goes through all elements of the map, in the transaction (nf_tables_bind_set), so the draws
// of a class share one rule.
//
// All jumps stand in one chain, because the kernel refuses to follow chains
// deeper than 16 (NFT_JUMP_STACK_SIZE), and one per size would be deeper.
func (p Pick) pickRules() []rule {
	var rules []rule
	for _, q := range p.drawn() {
		name := q.drawName()
		if q.class == 0 {
			rules = append(rules, newRule("goto "+name, gotoChain(name)))
			break
		}
		for range draws {
			rules = append(rules, newRule("jump "+name, jumpTo(name)))
		}
	}
	return rules
}

// drawn returns the classes that p draws from, the last one of which has slot 0 only.
func (p Pick) drawn() []Pick {
	var out []Pick
	for class := p.class; class > 0 && class >= p.class-1; class-- {
		q := p
		q.class = class
		out = append(out, q)
	}
	p.class = 0
	return append(out, p)
}

// drawChains returns the chains that draw once.
func (p Pick) drawChains() []Chain {
	var chains []Chain
	for _, q := range p.drawn() {
		chains = append(chains, q.drawChain())
	}
	return chains
}

// drawChain returns the chain that draws once. The one for slot 0 comes last, so it refuses the
// clients of a frontend without a backend.
func (p Pick) drawChain() Chain {
	c := Chain{Name: p.drawName(), Rules: []rule{p.draw()}}
	if p.class == 0 {
		c.Rules = append(c.Rules, newRule("reject", reject()))
	}
	return c
}

// Refusing returns the chains whose last rule refuses the clients of a frontend of the shape that has
// no backend.
func (s Shape) Refusing() []string {
	switch {
	case s.policy == nat.Reject:
		return []string{chainReject}
	case !s.policy.Picks():
		return nil
	}
	all, locals := s.picksOf()
	all.class, locals.class = 0, 0
	if s.policy == nat.Local && s.locals != noLocals {
		return []string{all.drawName(), locals.drawName()}
	}
	return []string{all.drawName()}
}

// PickSets returns the maps that pick chains draw from.
func PickSets() []Set {
	var sets []Set
	for _, kind := range []Kind{Backends, Locals, NodeBackends, NodeLocals} {
		for _, f := range inet.Families() {
			sets = append(sets, Set{Kind: kind, Family: f})
		}
	}
	return sets
}

// DrawChains returns the chains that draw once from such a map, one for each size.
func DrawChains(set Set) []Chain {
	chains := make([]Chain, 0, nat.MaxClass+1)
	for class := range int8(nat.MaxClass + 1) {
		p := Pick{set: set.Kind, fam: set.Family, class: class}
		chains = append(chains, p.drawChain())
	}
	return chains
}

// drawName returns, for example, "draw4-8", "node-draw4-8" or "draw-locals4-2".
func (p Pick) drawName() string { return strings.Replace(p.String(), "pick", "draw", 1) }

func (p Pick) draw() rule {
	size := uint32(1) << p.class
	set := Set{Kind: p.set, Family: p.fam}
	node := strings.HasPrefix(set.String(), "node-")
	load, slot := dialled(p.fam, node)
	var only []expr.Any
	if !node {
		only = onlyFamily(p.fam) // else only this family gets here, by its map of NodePorts
	}
	return newRule(
		fmt.Sprintf("dnat %s to %s . numgen random mod %d map @%s", ipWord(p.fam), dialledText(p.fam, node), size, set),
		only, load, randomBelow(size, slot), dnatTo(set))
}
