// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"net/netip"
	"time"

	"fairlead/internal/inet"
	"fairlead/nat"
	"fairlead/nat/ruleset"
)

// forgotten returns what clients of a sticky frontend must no longer be
// remembered with.
func (p *planner) forgotten(have *installed, want *nat.Frontend) []nat.Pair {
	if have == nil || have.remember == "" {
		return nil
	}
	if p.now.remember == "" {
		return []nat.Pair{{Frontend: p.key}}
	}
	kept := make(map[netip.AddrPort]struct{}, len(want.Backends))
	for b := range want.All() {
		kept[b] = struct{}{}
	}
	var out []nat.Pair
	for _, list := range [][]netip.AddrPort{have.slots, have.locals} {
		for _, b := range list {
			if _, ok := kept[b]; ok || b == emptySlot || b == staleSlot {
				continue
			}
			kept[b] = struct{}{}
			out = append(out, nat.Pair{Frontend: p.key, Backend: b})
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
func (s *State) putRemember(p *planner, timeout time.Duration) {
	var to string
	if timeout > 0 {
		to = ruleset.AffinityChain{Family: inet.FamilyOf(p.key.IP), NodePort: p.key.IsNodePort(), Timeout: timeout}.String()
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
