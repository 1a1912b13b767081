// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"cmp"
	"net/netip"
	"slices"

	"fairlead/internal/inet"
	"fairlead/nat"
	"fairlead/nat/ruleset"
)

// arrange gives each wanted backend a slot: those that have one below the
// wanted number keep it, the others fill the holes in the order of want. So one
// backend less moves the last slot into its hole, and one more is appended.
func arrange(have, want []netip.AddrPort) []netip.AddrPort {
	out := make([]netip.AddrPort, len(want))
	unplaced := make(map[netip.AddrPort]struct{}, len(want))
	for _, b := range want {
		unplaced[b] = struct{}{}
	}
	for i, b := range have[:min(len(have), len(want))] {
		if _, ok := unplaced[b]; ok {
			out[i] = b
			delete(unplaced, b)
		}
	}
	fill := slices.SortedFunc(func(yield func(netip.AddrPort) bool) {
		for b := range unplaced {
			if !yield(b) {
				return
			}
		}
	}, func(a, b netip.AddrPort) int { return cmp.Or(a.Compare(b)) })
	for i := range out {
		if out[i] == emptySlot {
			out[i], fill = fill[0], fill[1:]
		}
	}
	return out
}

// planFrontend adds the operations for one frontend to b. It returns false when
// the limit kept it from finishing; the rest is for another batch.
func (s *State) planFrontend(b *Step, key inet.Addr, limit int) bool {
	p := planner{s: b, key: key, limit: limit}
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
	var now *installed
	if wanted || !done {
		now = new(installed) // not &p.now, which would keep all of p, and so the batch
		*now = p.now
	}
	b.changes = append(b.changes, change{key: key, now: now, done: done})
	b.unstick = append(b.unstick, p.forgotten(have, &want)...)
	return done
}

func (s *State) planWanted(p *planner, want *nat.Frontend) bool {
	if p.now.owner != want.Owner {
		p.rename(want.Owner)
	}
	if !p.switchCounters(s.settings.BackendCounters) {
		return false
	}
	to := ruleset.ShapeOf(want, p.key, p.now.shape)
	backends := make([]netip.AddrPort, len(want.Backends))
	for i, b := range want.Backends {
		backends[i] = b.AddrPort
	}
	ok := p.putSlots(ruleset.BackendsOf(p.key), &p.now.slots, backends) &&
		p.putSlots(ruleset.LocalsOf(p.key), &p.now.locals, want.LocalBackends)
	if !ok {
		return false
	}
	p.putSources(want.Sources)
	s.putVerdict(p, to)
	s.putRemember(p, want)
	return p.cutSlots(ruleset.BackendsOf(p.key), &p.now.slots, len(backends)) &&
		p.cutSlots(ruleset.LocalsOf(p.key), &p.now.locals, len(want.LocalBackends)) &&
		p.cutSources(want.Sources)
}
