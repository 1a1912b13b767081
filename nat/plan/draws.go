// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fairlead/internal/inet"
	"fairlead/nat"
	"fairlead/nat/ruleset"
)

// For each new rule that reads a map, the kernel goes through all elements of the map in the
// transaction (nf_tables_bind_set), and nothing else is written meanwhile. So the chains that
// draw from a map of backends are there for each size before the map is large, whether a
// frontend uses them or not: they depend on nothing but how many backends are wanted.
const (
	// fewSlots is how many backends a map may hold without a chain for each size.
	fewSlots = 1 << 10
	// mostWalk is how many elements the kernel goes through for such chains in one batch,
	// unless one chain takes more: some 0.3 µs each.
	mostWalk = 1 << 15
)

// countSlots follows the wanted size of the maps when a frontend changes.
func (s *State) countSlots(key inet.Addr, old, now *nat.Frontend) {
	all, locals := len(now.Backends)-len(old.Backends), len(now.LocalBackends)-len(old.LocalBackends)
	if all == 0 && locals == 0 {
		return
	}
	large := func() [2]bool {
		return [2]bool{s.slots[ruleset.BackendsOf(key)] > fewSlots, s.slots[ruleset.LocalsOf(key)] > fewSlots}
	}
	was := large()
	s.slots.add(key, all, locals)
	for i, is := range large() {
		s.drawn = s.drawn && (was[i] || !is)
		s.idle = s.idle || was[i] && !is
	}
}

// countSlots follows the size of the maps when the kernel has carried out a change.
func (h *holding) countSlots(key inet.Addr, old, now *installed) {
	if old != nil {
		h.slots.add(key, -len(old.slots), -len(old.locals))
	}
	if now != nil {
		h.slots.add(key, len(now.slots), len(now.locals))
	}
}

// drawChains returns the chains that large maps have for each size, by map.
func (s *State) drawChains() map[ruleset.Set][]ruleset.Chain {
	chains := map[ruleset.Set][]ruleset.Chain{}
	for set, n := range s.slots {
		if n > fewSlots {
			chains[set] = ruleset.DrawChains(set)
		}
	}
	return chains
}

// nextDraws makes these chains.
func (s *State) nextDraws(step *Step) {
	if s.drawn {
		return
	}
	chains, all, walk := s.drawChains(), true, 0
	for _, set := range ruleset.PickSets() {
		elements := s.have.slots[set]
		if _, odd := s.have.oddSets[set]; odd {
			elements = 0 // the step replaces it
		}
		for i := range chains[set] {
			c := &chains[set][i]
			if step.has(c.Name) || s.isRefused(c) || s.have.chains[c.Name] == c.Fingerprint() && !step.flushes(c.Name) {
				continue
			}
			all = false
			if walk += elements; step.isFull() || walk > max(mostWalk, elements) {
				return
			}
			step.addChain(c)
		}
	}
	s.drawn = all // only saves the search next time
}
