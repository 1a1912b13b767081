// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"net/netip"

	"fairlead/internal/inet"
	"fairlead/nat"
	"fairlead/nat/ruleset"
)

// countSticky adds n to the number of sticky frontends, if f is one.
func (s *State) countSticky(f *nat.Frontend, n int) {
	if f.Affinity == 0 {
		return
	}
	s.program = s.program || s.sticky == 0 // the first needs chains
	s.sticky += n
}

// affinityVerdict returns the name of the chain that keeps the frontend's clients with
// their backend, or "" without affinity.
func affinityVerdict(key inet.Addr, f *nat.Frontend) string {
	if f.Affinity == 0 {
		return ""
	}
	return ruleset.AffinityChain{
		Family: inet.FamilyOf(key.IP), NodePort: key.IsNodePort(), Local: f.Policy == nat.Local, Timeout: f.Affinity, Share: f.Share,
	}.String()
}

// putAffinity starts or stops remembering new connections to the frontend, which had the
// shape was.
func (s *State) putAffinity(p *planner, want *nat.Frontend, was ruleset.Shape) {
	to := affinityVerdict(p.key, want)
	if p.now.remember == to && !p.now.oldRemember {
		return
	}
	if p.now.remember != "" {
		p.del(p.affinityElement())
	}
	p.carryConfined(p.now.remember, to, was)
	p.now.remember, p.now.oldRemember = to, false
	if to == "" {
		return
	}
	s.putChains(p, to)
	p.add(p.affinityElement())
}

// carryConfined keeps the clients that a version before 0.2 remembered in the map of all
// clients although policy Local confined them.
func (p *planner) carryConfined(from, to string, shape ruleset.Shape) {
	was, _ := ruleset.ParseAffinityChain(from)
	is, _ := ruleset.ParseAffinityChain(to)
	if from == "" || was.Local || !is.Local || shape.PolicyWord() != "local" {
		return
	}
	p.adds = append(p.adds, ruleset.Op{
		Verb: ruleset.CarryClients, Set: ruleset.AffinityOf(p.key, true, is.Share),
		Element: ruleset.Element{Set: ruleset.AffinityOf(p.key, false, was.Share), Key: p.key},
	})
}

func (p *planner) affinityElement() ruleset.Element {
	return ruleset.Element{Set: ruleset.StickyOf(p.key), Key: p.key, Verdict: p.now.remember, Comment: p.now.owner}
}

// unstuck returns the pairs that clients of a sticky frontend must lose. The clients
// that policy Local confines and all others are remembered apart, each with the
// backends that a new client would get.
func (p *planner) unstuck(have *installed, want *nat.Frontend) []nat.Pair {
	if have == nil || have.remember == "" {
		return nil
	}
	was, _ := ruleset.ParseAffinityChain(have.remember)
	var out []nat.Pair
	if p.now.remember == "" {
		out = append(out, nat.Pair{Frontend: p.key})
	} else {
		out = p.lost(out, have.slots, p.now.slots, &addrs{backends: want.Backends}, false)
	}
	if is, _ := ruleset.ParseAffinityChain(p.now.remember); !is.Local {
		if was.Local {
			out = append(out, nat.Pair{Frontend: p.key, Local: true})
		}
		return out
	}
	return p.lost(out, have.locals, p.now.locals, &addrs{locals: want.LocalBackends}, true)
}

// lost appends a pair for each backend that the step takes out of its slot and that want lacks. Only
// the slots that differ are looked up: a frontend may have 65,535, in each of many steps.
func (p *planner) lost(out []nat.Pair, have, now []slot, want *addrs, local bool) []nat.Pair {
	gone := map[netip.AddrPort]struct{}{}
	for i, s := range have {
		if s.isEmpty() || i < len(now) && now[i] == s {
			continue
		}
		b := s.backend()
		if _, known := gone[b]; !known && !want.has(b) {
			gone[b] = struct{}{}
			out = append(out, nat.Pair{Frontend: p.key, Backend: b, Local: local})
		}
	}
	return out
}
