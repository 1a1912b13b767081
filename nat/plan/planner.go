// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"net/netip"
	"slices"

	"fairlead/internal/inet"
	"fairlead/nat/ruleset"
)

// planner plans one frontend.
type planner struct {
	key inet.Addr
	now installed // the frontend after the step

	state *State
	step  *Step // that the plan is for

	chains     []ruleset.Chain
	members    []member     // that new backends need
	dels, adds []ruleset.Op // of elements; dels come first
	// room is how many operations still fit.
	room int
}

// cost is that of all operations so far.
func (p *planner) cost() int {
	n := len(p.dels) + len(p.adds) + len(p.members)
	for i := range p.chains {
		n += 1 + 3*len(p.chains[i].Rules)
	}
	return n
}

// need adds the elements that a new backend shares with other frontends, unless the
// kernel has them. So no packet finds the backend before these.
func (p *planner) need(ip netip.Addr) {
	for _, k := range []ruleset.Kind{ruleset.Hairpin, ruleset.Outside} {
		m := addressMember(k, ip)
		if st := p.state.members.all.get(&m); st.want > 0 && !st.have && !p.step.hasMember(&m) && !p.state.members.hasTwin(&m) && !p.state.members.isRefused(&m) {
			p.room--
			p.members = append(p.members, m)
		}
	}
}

func (p *planner) del(e ruleset.Element) {
	p.room--
	p.dels = append(p.dels, ruleset.Op{Verb: ruleset.DeleteElement, Element: e})
}

func (p *planner) add(e ruleset.Element) {
	p.room--
	p.adds = append(p.adds, ruleset.Op{Verb: ruleset.AddElement, Element: e})
}

// rename marks everything that carries the old owner's name to be replaced.
func (p *planner) rename(owner string) {
	p.now.owner, p.now.exact = owner, nil
	p.now.slots, p.now.locals = markStale(p.now.slots), markStale(p.now.locals)
	p.now.oldVerdict, p.now.oldRemember = p.now.verdict != "", p.now.remember != ""
	p.now.oldSources = slices.Concat(p.now.oldSources, p.now.sources)
	p.now.sources = nil
}

func markStale(slots []slot) []slot {
	out := slices.Clone(slots)
	for i := range out {
		out[i].stale = !out[i].isEmpty()
	}
	return out
}

// putSlots fills the slots below the wanted number. A slot is replaced in place, so
// that no packet finds it empty. It returns false when there is no room left.
//
// The slots are those of the frontend before the step, which may be planned again. So they
// are copied before one is changed; what is appended does not matter to the shorter list.
func (p *planner) putSlots(set ruleset.Set, slots *[]slot, want *addrs) bool {
	to := p.state.arranged.arrange(listed{p.key, set}, *slots, want)
	own := false
	for i := range want.len() {
		b := to.at(i)
		if i < len(*slots) && (*slots)[i] == b {
			continue
		}
		if p.room <= 0 {
			return false
		}
		if !own && (i < len(*slots) || cap(*slots) < want.len()) {
			*slots = append(make([]slot, 0, max(len(*slots), want.len())), *slots...)
			own = true
		}
		if i == len(*slots) {
			*slots = append(*slots, slot{})
		}
		if old := (*slots)[i]; !old.isEmpty() {
			p.del(p.slotElement(set, i, old))
		}
		p.add(p.slotElement(set, i, b))
		p.need(b.addr())
		(*slots)[i] = b
	}
	return true
}

// cutSlots empties the slots from n on.
func (p *planner) cutSlots(set ruleset.Set, slots *[]slot, n int) bool {
	for i := len(*slots) - 1; i >= n; i-- {
		if p.room <= 0 {
			return false
		}
		if old := (*slots)[i]; !old.isEmpty() {
			p.del(p.slotElement(set, i, old))
		}
		*slots = (*slots)[:i]
	}
	if cap(*slots) > 2*n+mostSmall {
		*slots = slices.Clone(*slots)
	}
	return true
}

// putSources adds the wanted ranges. One that overlaps others is added in the batch
// that deletes these, so that no client of both is dropped between.
func (p *planner) putSources(want []netip.Prefix) bool {
	old := slices.Concat(p.now.sources, p.now.oldSources)
	own := false // whether p.now.sources may be appended to
	for _, g := range groups(without(old, want, p.now.oldSources), without(want, p.now.sources, nil)) {
		if len(g.adds) == 0 {
			continue // deleted behind the verdict, see cutSources
		}
		if p.room <= 0 {
			return false
		}
		for _, src := range g.dels {
			p.deleteSource(src)
		}
		for _, src := range g.adds {
			p.add(p.sourceElement(src))
			if !own {
				p.now.sources = append(make([]netip.Prefix, 0, len(old)+len(want)), p.now.sources...)
				own = true
			}
			p.now.sources = append(p.now.sources, src)
		}
	}
	return true
}

// cutSources deletes the ranges that are left over, as many as there is room for.
func (p *planner) cutSources(want []netip.Prefix) bool {
	left := slices.Concat(without(p.now.sources, want, nil), p.now.oldSources)
	gone := left[:min(len(left), max(p.room, 0))]
	for _, src := range gone {
		p.del(p.sourceElement(src))
	}
	if len(gone) > 0 {
		p.now.sources, p.now.oldSources = without(p.now.sources, gone, nil), without(p.now.oldSources, gone, nil)
	}
	return len(gone) == len(left)
}

func (p *planner) deleteSource(src netip.Prefix) {
	p.del(p.sourceElement(src))
	p.now.sources = remove(p.now.sources, src)
	p.now.oldSources = remove(p.now.oldSources, src)
}

func remove(ps []netip.Prefix, p netip.Prefix) []netip.Prefix {
	i := slices.Index(ps, p)
	if i < 0 {
		return ps
	}
	return slices.Delete(slices.Clone(ps), i, i+1)
}

// clearJunk deletes what stands in the place of the frontend's elements.
func (p *planner) clearJunk() {
	p.room -= len(p.now.junk)
	p.dels = append(p.dels, p.now.junk...)
	p.now.junk = nil
}

func (p *planner) verdictElement() ruleset.Element {
	return ruleset.Element{Set: ruleset.VerdictsOf(p.key), Key: p.key, Verdict: p.now.verdict, Comment: p.now.owner}
}

func (p *planner) slotElement(set ruleset.Set, i int, s slot) ruleset.Element {
	return ruleset.Element{Set: set, Counter: p.now.counted, Key: p.key, Slot: uint32(i), Data: s.backend(), Comment: p.now.owner}
}

func (p *planner) sourceElement(src netip.Prefix) ruleset.Element {
	return ruleset.Element{Set: ruleset.SourcesOf(src), Key: p.key, Client: src, Comment: p.now.owner}
}

// putChains adds the chains behind a verdict that the kernel lacks.
func (s *State) putChains(p *planner, verdict string) {
	if s.have.verdicts[verdict] > 0 || p.step.has(verdict) {
		return // they came with the program, or with another frontend
	}
	for _, c := range ruleset.ChainsOf(verdict, &s.settings) {
		if s.have.chains[c.Name] != c.Fingerprint() {
			p.chains = append(p.chains, c)
		}
	}
}
