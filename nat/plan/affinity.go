// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"net/netip"

	"fairlead/internal/inet"
	"fairlead/nat"
	"fairlead/nat/ruleset"
)

// forgotten returns the pairs that no client of a sticky frontend may be remembered
// with any more. The clients that policy Local confines and all others are
// remembered apart, each with the backends that a new client would get.
func (p *planner) forgotten(have *installed, want *nat.Frontend) []nat.Pair {
	if have == nil || have.remember == "" {
		return nil
	}
	was, _ := ruleset.ParseAffinityChain(have.remember)
	var out []nat.Pair
	if p.now.remember == "" {
		out = append(out, nat.Pair{Frontend: p.key})
	} else {
		backends := make([]netip.AddrPort, len(want.Backends))
		for i, b := range want.Backends {
			backends[i] = b.AddrPort
		}
		out = p.without(out, have.slots, backends, false)
	}
	if is, _ := ruleset.ParseAffinityChain(p.now.remember); !is.Local {
		if was.Local {
			out = append(out, nat.Pair{Frontend: p.key, Local: true})
		}
		return out
	}
	return p.without(out, have.locals, want.LocalBackends, true)
}

// without appends a pair for each backend of have that want lacks.
func (p *planner) without(out []nat.Pair, have, want []netip.AddrPort, local bool) []nat.Pair {
	kept := make(map[netip.AddrPort]struct{}, len(want))
	for _, b := range want {
		kept[b] = struct{}{}
	}
	for _, b := range have {
		if _, ok := kept[b]; !ok && b != emptySlot && b != staleSlot {
			kept[b] = struct{}{}
			out = append(out, nat.Pair{Frontend: p.key, Backend: b, Local: local})
		}
	}
	return out
}

// sticks reports whether the kernel has frontends whose clients it remembers.
func (r *holding) sticks() bool {
	for verdict := range r.verdicts {
		if _, ok := ruleset.ParseAffinityChain(verdict); ok {
			return true
		}
	}
	return false
}

// sticks reports the same of what is wanted, or still there.
func (s *State) sticks() bool { return s.sticky > 0 || s.have.sticks() }

// countSticky adds n to the number of sticky frontends, if f is one.
func (s *State) countSticky(f *nat.Frontend, n int) {
	if f.Affinity == 0 {
		return
	}
	s.program = s.program || s.sticky == 0 // the first needs chains
	s.sticky += n
}

// putRemember makes the frontend's new connections remembered, or not.
func (s *State) putRemember(p *planner, want *nat.Frontend) {
	var to string
	if want.Affinity > 0 {
		to = ruleset.AffinityChain{
			Family: inet.FamilyOf(p.key.IP), NodePort: p.key.IsNodePort(), Local: want.Policy == nat.Local, Timeout: want.Affinity,
		}.String()
	}
	if p.now.remember == to {
		return
	}
	if p.now.remember != "" {
		p.s.Dels = append(p.s.Dels, p.rememberElement())
	}
	p.now.remember = to
	if to == "" {
		return
	}
	if s.have.verdicts[to] == 0 {
		s.putChains(p.s, to)
	}
	p.s.Adds = append(p.s.Adds, p.rememberElement())
}

func (p *planner) rememberElement() ruleset.Element {
	return ruleset.Element{Set: ruleset.StickyOf(p.key), Key: p.key, Verdict: p.now.remember, Comment: p.now.owner}
}
