// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fairlead/internal/inet"
	"fairlead/nat"
	"fairlead/nat/ruleset"
)

// portion is what a frontend may have of a batch.
type portion struct {
	// whole leaves a frontend for the next batch that does not fit into this one,
	// unless the batch is empty.
	whole bool
	// small leaves a frontend to bulk that takes more than mostSmall operations.
	small bool
	room  int // operations that still fit
}

// planFrontend adds the operations for one frontend to the step, as many as its share
// allows. A frontend that exceeds a whole batch takes several: its new backends are
// filled in behind its old verdict, then the verdict changes, and superfluous elements
// go last. It returns false when the batch is full.
func (s *State) planFrontend(step *Step, key inet.Addr, has portion) bool {
	size := s.SizeOf(key)
	step.work -= size
	p := planner{key: key, state: s, step: step, room: has.room}
	p.dels, p.adds = s.buffers.takeOps()
	more := s.planInto(step, &p, has)
	s.buffers.giveOps(p.dels, p.adds)
	return more
}

// planInto does so with a planner that has nothing yet.
func (s *State) planInto(step *Step, p *planner, has portion) bool {
	key := p.key
	if has.small {
		p.room = min(p.room, mostSmall+1)
	}
	have := s.have.frontends[key]
	if have != nil {
		p.now = *have
	}
	want, wanted := s.want[key]
	if needs := s.blockedBy(p, &want, wanted); needs != "" {
		step.Blocked = append(step.Blocked, Blocked{Frontend: key, Needs: needs})
		return true
	}
	if wanted && s.chainsAhead(p, &want) {
		step.addChains(p.chains)
		step.ahead = true
		return true // and again in the next step
	}
	var done bool
	if wanted {
		done = s.planWanted(p, &want)
	} else {
		done = p.remove()
	}
	switch {
	case has.small && (len(p.dels)+len(p.adds) > mostSmall || !done && has.room > mostSmall):
		step.slow = append(step.slow, key)
		return true
	case has.whole && step.cost > 0 && (!done || step.cost+p.cost() > step.limit):
		return false
	}
	if len(p.chains) > 0 && step.limit == 1 {
		step.addChain(&p.chains[0]) // alone, so that a refusal is about the chain
		return false
	}
	if s.chainsFirst(p, have) {
		step.addChains(p.chains)
		step.ahead = true
		return true // and again in the next step
	}
	step.addChains(p.chains)
	for i := range p.members {
		if m := &p.members[i]; !step.hasMember(m) {
			step.addMember(m)
			step.add(ruleset.Op{Verb: ruleset.AddElement, Element: s.members.element(m)})
		}
	}
	c := change{key: key, done: done, from: len(step.Batch)}
	if wanted || !done {
		c.now = new(installed) // not &p.now, which would keep all of p, and so the batch
		*c.now = p.now
	}
	step.add(p.dels...)
	step.add(p.adds...)
	c.to = len(step.Batch)
	step.changes = append(step.changes, c)
	step.unstick = append(step.unstick, p.unstuck(have, &want)...)
	return done
}

// SizeOf returns how many elements have to be compared to plan a frontend.
func (s *State) SizeOf(key inet.Addr) int {
	f := s.want[key]
	n := len(f.Backends) + len(f.LocalBackends) + len(f.Sources)
	if have := s.have.frontends[key]; have != nil {
		n += len(have.slots) + len(have.locals) + len(have.sources) + len(have.oldSources)
	}
	return n
}

// chainsAhead plans the missing chains of a frontend before its backends, if it has more of
// these than a small change. For each new rule that reads a map the kernel goes through all
// elements of the map (nf_tables_bind_set), some 0.3 µs each, so a tenant's 65,535 endpoints
// are better not there yet.
func (s *State) chainsAhead(p *planner, want *nat.Frontend) bool {
	if len(want.Backends) > mostSmall && p.step.limit != unlimited {
		s.putChains(p, ruleset.ShapeOf(want, p.key, p.now.shape).Verdict())
	}
	return len(p.chains) > 0
}

// chainsFirst reports whether a frontend that serves gets a verdict whose chain the kernel
// does not have yet. The chain then goes one transaction ahead of the verdict: a packet
// that is on its way while the kernel changes the generation runs the rules of the old
// one, in which a new chain is empty, but finds the elements of the new one
// (nft_do_chain, nft_lookup_eval).
func (s *State) chainsFirst(p *planner, have *installed) bool {
	if have == nil || have.verdict == "" {
		return false
	}
	lacks := func(verdict string) bool {
		_, ok := s.have.chains[verdict]
		return !ok && verdict != "" && verdict != ruleset.VerdictDrop
	}
	return lacks(p.now.verdict) || lacks(p.now.remember)
}

func (s *State) planWanted(p *planner, want *nat.Frontend) bool {
	if p.now.owner != want.Owner {
		p.rename(want.Owner)
	}
	p.clearJunk()
	if !p.switchCounters(s.settings.BackendCounters) {
		return false
	}
	to := ruleset.ShapeOf(want, p.key, p.now.shape)
	if s.putRefusal(p, want, to) {
		return false
	}
	exact := p.now.exact
	p.now.exact = nil // until the slots are as wanted again
	ok := (p.exchangeSlots(exact, want.Backends) || p.putSlots(ruleset.BackendsOf(p.key), &p.now.slots, &addrs{backends: want.Backends})) &&
		p.putSlots(ruleset.LocalsOf(p.key), &p.now.locals, &addrs{locals: want.LocalBackends}) &&
		p.putSources(want.Sources)
	if !ok {
		return false
	}
	was := p.now.shape
	s.putVerdict(p, to)
	s.putAffinity(p, want, was)
	if !p.cutSlots(ruleset.BackendsOf(p.key), &p.now.slots, len(want.Backends)) {
		return false
	}
	if len(want.Backends) >= leastExchanged {
		holds := want.Backends // or all of want would stay
		p.now.exact = &holds
	}
	return p.cutSlots(ruleset.LocalsOf(p.key), &p.now.locals, len(want.LocalBackends)) &&
		p.cutSources(want.Sources)
}

// putRefusal replaces the verdict of a frontend that kept its shape without a backend by one that
// refuses, if it gets another shape and may take several batches: its new backends would be
// reached by the rules of the old shape before all of them are there. It reports whether it did.
func (s *State) putRefusal(p *planner, want *nat.Frontend, to ruleset.Shape) bool {
	empty := p.now.shape.KeepsEmpty() && len(p.now.slots)+len(p.now.locals) == 0
	const each = 3 // operations for a backend: its slot, and the elements that it shares
	most := each*(len(want.Backends)+len(want.LocalBackends)) + len(want.Sources) + len(p.now.sources) + len(p.now.oldSources) + 2
	if !empty || to.Verdict() == p.now.verdict || most <= p.room {
		return false
	}
	refused := nat.Frontend{Policy: nat.Reject, Restricted: p.now.shape.IsGuarded()}
	s.putVerdict(p, ruleset.ShapeOf(&refused, p.key, ruleset.Shape{}))
	return true
}

// remove takes the frontend out of the kernel: its verdict first.
func (p *planner) remove() bool {
	p.clearJunk()
	if p.now.verdict != "" {
		p.del(p.verdictElement())
		p.now.verdict, p.now.shape, p.now.oldVerdict = "", ruleset.Shape{}, false
	}
	if p.now.remember != "" {
		p.del(p.affinityElement())
		p.now.remember, p.now.oldRemember = "", false
	}
	p.abandonSwitch()
	p.now.exact = nil
	return p.cutSlots(ruleset.BackendsOf(p.key), &p.now.slots, 0) &&
		p.cutSlots(ruleset.LocalsOf(p.key), &p.now.locals, 0) &&
		p.cutSources(nil)
}

// putVerdict replaces the verdict, with the chains that it needs.
func (s *State) putVerdict(p *planner, to ruleset.Shape) {
	verdict := to.Verdict()
	if p.now.verdict == verdict && !p.now.oldVerdict {
		p.now.shape = to
		return
	}
	if p.now.verdict != "" {
		p.del(p.verdictElement())
	}
	s.putChains(p, verdict)
	p.now.shape, p.now.verdict, p.now.oldVerdict = to, verdict, false
	p.add(p.verdictElement())
}

// blockedBy returns the refused set that a frontend needs, the refused element that one of its
// new backends needs, or the refused chain that keeps it from its next verdict, or "". A
// frontend that has the verdict already is served by the chain in the kernel.
func (s *State) blockedBy(p *planner, want *nat.Frontend, wanted bool) string {
	if !wanted || len(s.refusedChains)+len(s.refusedSets)+len(s.members.aside) == 0 {
		return ""
	}
	if m, is := s.refusedMemberOf(p, want); is {
		e := s.members.element(&m)
		return "element " + m.set.String() + " " + e.String()
	}
	if set, is := s.refusedSetOf(p.key, want); is {
		return "set " + set.String()
	}
	to := ruleset.ShapeOf(want, p.key, p.now.shape)
	for _, v := range [][2]string{{to.Verdict(), p.now.verdict}, {affinityVerdict(p.key, want), p.now.remember}} {
		if v[0] == v[1] {
			continue
		}
		for _, c := range ruleset.ChainsOf(v[0], &s.settings) {
			if s.isRefused(&c) {
				return "chain " + c.Name
			}
		}
	}
	return ""
}
