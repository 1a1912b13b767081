// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nat

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"fairlead/internal/inet"
)

// planFrontend adds the operations for one frontend to b. It returns false when
// the limit kept it from finishing; the rest is for another batch.
func (s *State) planFrontend(b *Batch, key inet.Addr, limit int) bool {
	p := planner{b: b, key: key, limit: limit}
	have := s.have.frontends[key]
	if have != nil {
		p.now = *have
	}
	want, wanted := s.want[key]
	var done bool
	if wanted {
		done = s.planWanted(&p, &want)
	} else {
		done = p.remove()
	}
	var now *frontend
	if wanted || !done {
		now = new(frontend) // not &p.now, which would keep all of p, and so the batch
		*now = p.now
	}
	b.after = append(b.after, change{key: key, now: now, done: done})
	b.forget = append(b.forget, p.forgotten(have, &want)...)
	return done
}

// planner plans one frontend. now is what the kernel will have.
type planner struct {
	b     *Batch
	key   inet.Addr
	now   frontend
	limit int
}

func (s *State) planWanted(p *planner, want *Frontend) bool {
	if p.now.owner != want.Owner {
		p.rename(want.Owner)
	}
	if !p.count(s.settings.BackendCounters) {
		return false
	}
	to := want.shape(p.key, p.now.shape)
	backends := make([]netip.AddrPort, len(want.Backends))
	for i, b := range want.Backends {
		backends[i] = b.AddrPort
	}
	ok := p.putSlots(backendsOf(p.key), &p.now.slots, backends) &&
		p.putSlots(localsOf(p.key), &p.now.locals, want.LocalBackends)
	if !ok {
		return false
	}
	p.putSources(want.Sources)
	s.putVerdict(p, to)
	s.putRemember(p, want.Affinity)
	return p.cutSlots(backendsOf(p.key), &p.now.slots, len(backends)) &&
		p.cutSlots(localsOf(p.key), &p.now.locals, len(want.LocalBackends)) &&
		p.cutSources(want.Sources)
}

// rename marks everything that carries the owner's name as to be replaced.
func (p *planner) rename(owner string) {
	p.now.owner = owner
	p.now.slots = forget(p.now.slots)
	p.now.locals = forget(p.now.locals)
	if p.now.verdict != "" {
		p.b.dels = append(p.b.dels, p.verdictElement())
		p.now.verdict = ""
	}
	if p.now.remember != "" {
		p.b.dels = append(p.b.dels, p.rememberElement())
		p.now.remember = ""
	}
	for _, src := range p.now.sources {
		p.b.dels = append(p.b.dels, p.sourceElement(src))
	}
	p.now.sources = nil
}

func forget(slots []netip.AddrPort) []netip.AddrPort {
	out := slices.Clone(slots)
	for i := range out {
		if out[i] != hole {
			out[i] = unknown
		}
	}
	return out
}

// remove takes the frontend out of the kernel: verdict first.
func (p *planner) remove() bool {
	if p.now.verdict != "" {
		p.b.dels = append(p.b.dels, p.verdictElement())
		p.now.verdict, p.now.shape = "", shape{}
	}
	if p.now.remember != "" {
		p.b.dels = append(p.b.dels, p.rememberElement())
		p.now.remember = ""
	}
	p.uncount()
	return p.cutSlots(backendsOf(p.key), &p.now.slots, 0) &&
		p.cutSlots(localsOf(p.key), &p.now.locals, 0) &&
		p.cutSources(nil)
}

// putSlots fills the slots below the wanted number.
func (p *planner) putSlots(set setID, slots *[]netip.AddrPort, want []netip.AddrPort) bool {
	to := arrange(*slots, want)
	if slices.Equal(*slots, to) {
		return true
	}
	*slots = append(make([]netip.AddrPort, 0, max(len(*slots), len(to))), *slots...)
	for i, b := range to {
		if i < len(*slots) && (*slots)[i] == b {
			continue
		}
		if p.b.size() >= p.limit {
			return false
		}
		if i == len(*slots) {
			*slots = append(*slots, hole)
		}
		if old := (*slots)[i]; old != hole {
			p.b.dels = append(p.b.dels, p.slotElement(set, i, old))
		}
		p.b.adds = append(p.b.adds, p.slotElement(set, i, b))
		(*slots)[i] = b
	}
	return true
}

// cutSlots empties the slots from n on.
func (p *planner) cutSlots(set setID, slots *[]netip.AddrPort, n int) bool {
	for i := len(*slots) - 1; i >= n; i-- {
		if p.b.size() >= p.limit {
			return false
		}
		if old := (*slots)[i]; old != hole {
			p.b.dels = append(p.b.dels, p.slotElement(set, i, old))
		}
		*slots = (*slots)[:i]
	}
	return true
}

func (p *planner) putSources(want []netip.Prefix) {
	for _, src := range want {
		if !slices.Contains(p.now.sources, src) {
			p.b.adds = append(p.b.adds, p.sourceElement(src))
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
			p.b.dels = append(p.b.dels, p.sourceElement(src))
		}
	}
	p.now.sources = kept
	return true
}

func (s *State) putVerdict(p *planner, to shape) {
	verdict := to.verdict()
	if p.now.verdict == verdict {
		return
	}
	if p.now.verdict != "" {
		p.b.dels = append(p.b.dels, p.verdictElement())
	}
	if s.have.verdicts[verdict] == 0 {
		s.putChains(p.b, verdict)
	}
	p.now.shape, p.now.verdict = to, verdict
	p.b.adds = append(p.b.adds, p.verdictElement())
}

func (p *planner) verdictElement() element {
	return element{set: verdictsOf(p.key), key: p.key, verdict: p.now.verdict, comment: p.now.owner}
}

func (p *planner) slotElement(set setID, i int, b netip.AddrPort) element {
	return element{set: set, counter: p.now.counted, key: p.key, slot: uint32(i), data: b, comment: p.now.owner}
}

func (p *planner) sourceElement(src netip.Prefix) element {
	return element{set: setID{kSources, inet.FamilyOf(p.key.IP)}, key: p.key, client: src, comment: p.now.owner}
}

// forgotten returns what clients of a sticky frontend must no longer be
// remembered with.
func (p *planner) forgotten(have *frontend, want *Frontend) []Pair {
	if have == nil || have.remember == "" {
		return nil
	}
	if p.now.remember == "" {
		return []Pair{{Frontend: p.key}}
	}
	kept := make(map[netip.AddrPort]struct{}, len(want.Backends))
	for b := range want.all() {
		kept[b] = struct{}{}
	}
	var out []Pair
	for _, list := range [][]netip.AddrPort{have.slots, have.locals} {
		for _, b := range list {
			if _, ok := kept[b]; ok || b == hole || b == unknown {
				continue
			}
			kept[b] = struct{}{}
			out = append(out, Pair{p.key, b})
		}
	}
	return out
}

func compareSets(a, b setID) int {
	return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.fam, b.fam))
}

func compareMembers(a, b element) int {
	return cmp.Or(compareSets(a.set, b.set), a.key.Compare(b.key), a.client.Compare(b.client), a.data.Compare(b.data), cmp.Compare(a.comment, b.comment))
}

// compareDrops puts base chains before what they refer to, and shapes before
// sticky picks and these before picks.
func compareDrops(a, b string) int {
	rank := func(name string) int {
		switch {
		case hooks[name] != nil:
			return -1
		case strings.Contains(name, "sticky-") && strings.Contains(name, "pick"):
			return 1
		case strings.Contains(name, "pick"):
			return 2
		}
		return 0
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a, b))
}
