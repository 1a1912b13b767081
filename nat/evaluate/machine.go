// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package evaluate

import (
	"fmt"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"

	"fairlead/nat/ruleset"
)

// state is a packet on one of its ways.
type state struct {
	packet, original Packet
	weight           float64
	mark             uint32
	untracked        bool
	dnat, masquerade bool
	local            bool
	out              string
	verdict          string // final; "" while the packet is on its way
	steps            []Step
	uncertain        []string
}

func (s *state) clone() *state {
	c := *s
	c.steps, c.uncertain = slices.Clip(s.steps), slices.Clip(s.uncertain)
	return &c
}

// machine evaluates one packet.
type machine struct {
	table *Table
	host  Host
	hooks string // name of the hook that is being evaluated
}

// maxDepth is the kernel's NFT_JUMP_STACK_SIZE.
const maxDepth = 16

// hook sends the states that all conditions hold for through the base chains of a hook.
func (m *machine) hook(in []*state, hook nftables.ChainHook, only ...func(*state) bool) []*state {
	m.hooks = hookName(hook)
	for _, c := range m.table.byHook[hook] {
		if m.table.dormant {
			break
		}
		var out []*state
		for _, s := range in {
			skip := s.verdict != "" || slices.ContainsFunc(only, func(f func(*state) bool) bool { return !f(s) })
			if skip || c.Hook.Type == nftables.ChainTypeNAT && s.untracked {
				out = append(out, s)
				continue
			}
			for _, r := range m.chain(s, c, 0) {
				if r.end == ends && c.Hook.Drops {
					r.state.verdict = Drop
					r.state.steps = append(r.state.steps, Step{Hook: m.hooks, Chain: c.Name, Rule: "policy drop"})
				}
				out = append(out, r.state)
			}
		}
		in = merge(out)
	}
	return in
}

func hookName(hook nftables.ChainHook) string {
	for name, number := range map[string]*nftables.ChainHook{
		"prerouting": nftables.ChainHookPrerouting, "input": nftables.ChainHookInput, "forward": nftables.ChainHookForward,
		"output": nftables.ChainHookOutput, "postrouting": nftables.ChainHookPostrouting,
	} {
		if *number == hook {
			return name
		}
	}
	return fmt.Sprint(hook)
}

// route finds out where a packet goes.
func (m *machine) route(s *state) {
	if s.verdict != "" {
		return
	}
	if s.local = m.host.IsLocal(s.packet.Dst.IP); s.local {
		s.out = "lo"
		return
	}
	var ok bool
	if s.out, ok = m.host.Out(s.packet, s.mark); !ok {
		s.verdict = NoRoute
	}
}

// How a chain or a rule ends.
type ending uint8

const (
	ends    ending = iota // at its end, or by return
	accepts               // of this base chain
	stops                 // with a final verdict
)

type result struct {
	state *state
	end   ending
}

// chain evaluates the rules of a chain.
func (m *machine) chain(s *state, c *ruleset.Chain, depth int) []result {
	if depth > maxDepth {
		s.verdict = Drop // as the kernel does
		return []result{{s, stops}}
	}
	var done []result
	on := []*state{s}
	for i := range c.Rules {
		var next []*state
		for _, s := range on {
			for _, r := range m.rule(s, c, i) {
				goOn, end := m.follow(r, depth)
				next, done = append(next, goOn...), append(done, end...)
			}
		}
		if on = merge(next); len(on) == 0 {
			return done
		}
	}
	for _, s := range on {
		done = append(done, result{s, ends})
	}
	return done
}

// follow returns the states that go on to the next rule, and those for which the chain
// has ended.
func (m *machine) follow(r move, depth int) (goOn []*state, end []result) {
	switch {
	case r.kind == goesOn:
		return []*state{r.state}, nil
	case r.kind == returned:
		return nil, []result{{r.state, ends}}
	case r.target == "":
		return nil, []result{{r.state, r.end}}
	}
	for _, e := range m.enter(r.state, r.target, depth) {
		if e.end == ends && r.kind == jumped {
			goOn = append(goOn, e.state)
		} else {
			end = append(end, e)
		}
	}
	return goOn, end
}

// enter evaluates the chain that a verdict leads to.
func (m *machine) enter(s *state, name string, depth int) []result {
	c := m.table.found.Chains[name]
	if c == nil {
		s.uncertain = append(s.uncertain, "chain "+name+" does not exist")
		return []result{{s, ends}}
	}
	return m.chain(s, c, depth+1)
}

// What a rule leads to.
type kind uint8

const (
	goesOn   kind = iota // the next rule
	returned             // the end of the chain
	jumped               // target, then the next rule
	went                 // target, then the end of the chain
	ended                // see end
)

// move is one outcome of a rule.
type move struct {
	state  *state
	kind   kind
	target string
	end    ending
}

// rule evaluates one rule, once for each number that it may draw.
func (m *machine) rule(s *state, c *ruleset.Chain, i int) []move {
	exprs := c.Rules[i].Exprs
	draws := uint32(1)
	for _, e := range exprs {
		if n, ok := e.(*expr.Numgen); ok {
			draws = max(n.Modulus, 1)
		}
	}
	weight := s.weight / float64(draws)
	var missed float64
	var out []move
	for draw := range draws {
		e := execution{machine: m, state: s.clone(), chain: c, rule: i, draw: draw}
		e.state.weight = weight
		mv, matched := e.run(exprs)
		if !matched && len(e.state.uncertain) == len(s.uncertain) && draws > 1 {
			missed += weight
			continue
		}
		out = append(out, mv)
	}
	if missed > 0 {
		rest := s.clone()
		rest.weight = missed
		out = append(out, move{state: rest, kind: goesOn})
	}
	return out
}

// merge adds up the states that differ only in how they came about.
func merge(in []*state) []*state {
	type id struct {
		packet                             Packet
		mark                               uint32
		untracked, dnat, masquerade, local bool
		out, verdict                       string
	}
	at := map[id]*state{}
	var out []*state
	for _, s := range in {
		k := id{s.packet, s.mark, s.untracked, s.dnat, s.masquerade, s.local, s.out, s.verdict}
		if have := at[k]; have != nil {
			have.weight += s.weight
			continue
		}
		at[k] = s
		out = append(out, s)
	}
	return out
}
