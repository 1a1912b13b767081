// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"cmp"
	"net/netip"
	"slices"

	"fairlead/internal/inet"
	"fairlead/nat/ruleset"
)

// planner plans one frontend. now is what the kernel will have.
type planner struct {
	s     *Step
	key   inet.Addr
	now   installed
	limit int
}

// rename marks everything that carries the owner's name as to be replaced.
func (p *planner) rename(owner string) {
	p.now.owner = owner
	p.now.slots = markStale(p.now.slots)
	p.now.locals = markStale(p.now.locals)
	if p.now.verdict != "" {
		p.s.Dels = append(p.s.Dels, p.verdictElement())
		p.now.verdict = ""
	}
	if p.now.remember != "" {
		p.s.Dels = append(p.s.Dels, p.rememberElement())
		p.now.remember = ""
	}
	for _, src := range p.now.sources {
		p.s.Dels = append(p.s.Dels, p.sourceElement(src))
	}
	p.now.sources = nil
}

func markStale(slots []netip.AddrPort) []netip.AddrPort {
	out := slices.Clone(slots)
	for i := range out {
		if out[i] != emptySlot {
			out[i] = staleSlot
		}
	}
	return out
}

// remove takes the frontend out of the kernel: verdict first.
func (p *planner) remove() bool {
	if p.now.verdict != "" {
		p.s.Dels = append(p.s.Dels, p.verdictElement())
		p.now.verdict, p.now.shape = "", ruleset.Shape{}
	}
	if p.now.remember != "" {
		p.s.Dels = append(p.s.Dels, p.rememberElement())
		p.now.remember = ""
	}
	p.abandonSwitch()
	return p.cutSlots(ruleset.BackendsOf(p.key), &p.now.slots, 0) &&
		p.cutSlots(ruleset.LocalsOf(p.key), &p.now.locals, 0) &&
		p.cutSources(nil)
}

// putSlots fills the slots below the wanted number.
func (p *planner) putSlots(set ruleset.Set, slots *[]netip.AddrPort, want []netip.AddrPort) bool {
	to := arrange(*slots, want)
	if slices.Equal(*slots, to) {
		return true
	}
	*slots = append(make([]netip.AddrPort, 0, max(len(*slots), len(to))), *slots...)
	for i, b := range to {
		if i < len(*slots) && (*slots)[i] == b {
			continue
		}
		if p.s.Size() >= p.limit {
			return false
		}
		if i == len(*slots) {
			*slots = append(*slots, emptySlot)
		}
		if old := (*slots)[i]; old != emptySlot {
			p.s.Dels = append(p.s.Dels, p.slotElement(set, i, old))
		}
		p.s.Adds = append(p.s.Adds, p.slotElement(set, i, b))
		(*slots)[i] = b
	}
	return true
}

// cutSlots empties the slots from n on.
func (p *planner) cutSlots(set ruleset.Set, slots *[]netip.AddrPort, n int) bool {
	for i := len(*slots) - 1; i >= n; i-- {
		if p.s.Size() >= p.limit {
			return false
		}
		if old := (*slots)[i]; old != emptySlot {
			p.s.Dels = append(p.s.Dels, p.slotElement(set, i, old))
		}
		*slots = (*slots)[:i]
	}
	return true
}

func (p *planner) putSources(want []netip.Prefix) {
	for _, src := range want {
		if !slices.Contains(p.now.sources, src) {
			p.s.Adds = append(p.s.Adds, p.sourceElement(src))
			p.now.sources = append(slices.Clip(p.now.sources), src)
		}
	}
}

func (p *planner) cutSources(want []netip.Prefix) bool {
	var kept []netip.Prefix
	for _, src := range p.now.sources {
		if slices.Contains(want, src) {
			kept = append(kept, src)
		} else {
			p.s.Dels = append(p.s.Dels, p.sourceElement(src))
		}
	}
	p.now.sources = kept
	return true
}

func (s *State) putVerdict(p *planner, to ruleset.Shape) {
	verdict := to.Verdict()
	if p.now.verdict == verdict {
		return
	}
	if p.now.verdict != "" {
		p.s.Dels = append(p.s.Dels, p.verdictElement())
	}
	if s.have.verdicts[verdict] == 0 {
		s.putChains(p.s, verdict)
	}
	p.now.shape, p.now.verdict = to, verdict
	p.s.Adds = append(p.s.Adds, p.verdictElement())
}

func (p *planner) verdictElement() ruleset.Element {
	return ruleset.Element{Set: ruleset.VerdictsOf(p.key), Key: p.key, Verdict: p.now.verdict, Comment: p.now.owner}
}

func (p *planner) slotElement(set ruleset.Set, i int, b netip.AddrPort) ruleset.Element {
	return ruleset.Element{Set: set, Counter: p.now.counted, Key: p.key, Slot: uint32(i), Data: b, Comment: p.now.owner}
}

func (p *planner) sourceElement(src netip.Prefix) ruleset.Element {
	return ruleset.Element{Set: ruleset.Set{Kind: ruleset.Sources, Family: inet.FamilyOf(p.key.IP)}, Key: p.key, Client: src, Comment: p.now.owner}
}

func compareMembers(a, b ruleset.Element) int {
	return cmp.Or(ruleset.CompareSets(a.Set, b.Set), a.Key.Compare(b.Key), a.Client.Compare(b.Client), a.Data.Compare(b.Data), cmp.Compare(a.Comment, b.Comment))
}
