// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nat

import (
	"maps"
	"net/netip"
	"slices"

	"fairlead/internal/inet"
)

// DefaultLimit is the number of element operations in a batch. An element takes
// at most about 250 bytes; the batch must fit in a socket's default send buffer
// of 208 KiB, because the kernel takes one batch in one message.
const DefaultLimit = 700

// Next returns the next batch that brings have towards want, or nil when
// nothing is pending. It changes nothing: until Acked it returns the same
// again. A limit of 0 stands for DefaultLimit; the batch may exceed it by what
// belongs to the chains and to one slot.
//
// The order over several batches is such that no packet meets a half-made
// frontend: backends are there before the verdict that leads to them and go
// after it; an address is exclusive when all its ports are there.
func (s *State) Next(limit int) *Batch {
	if limit <= 0 {
		limit = DefaultLimit
	}
	b := &Batch{}
	if s.program {
		s.nextProgram(b)
	}
	all := s.nextMembers(b, &s.early, limit) && s.nextFrontends(b, limit) && s.nextMembers(b, &s.late, limit)
	if b.Len() == 0 && len(b.after) == 0 && all {
		b.drops = s.idleChains()
	}
	if b.Len() == 0 && len(b.after) == 0 {
		return nil
	}
	return b
}

// nextProgram compares everything that does not depend on one frontend.
func (s *State) nextProgram(b *Batch) {
	b.recreate = s.have.alien != ""
	b.declare = !s.have.exists || b.recreate
	for _, c := range program(&s.settings, s.sticks()) {
		if s.have.chains[c.name] != c.fingerprint() {
			b.put(c)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.have.verdicts)) {
		s.putChains(b, name)
	}
	for set, want := range s.settings.ranges() {
		if !slices.Equal(want, s.have.ranges[set]) {
			b.fills = append(b.fills, fill{set, want})
		}
	}
	slices.SortFunc(b.fills, func(x, y fill) int { return compareSets(x.set, y.set) })
	b.dels = append(b.dels, s.have.junk...)
}

// putChains adds the chains behind a verdict as far as the kernel lacks them.
func (s *State) putChains(b *Batch, verdict string) {
	for _, c := range chainsOf(verdict, &s.settings) {
		if s.have.chains[c.name] != c.fingerprint() {
			b.put(c)
		}
	}
}

// chainsOf returns the chains that an element with this verdict needs.
func chainsOf(verdict string, set *Settings) []chain {
	if sh, ok := parseShape(verdict); ok {
		return sh.chains(set)
	}
	if r, ok := parseRemember(verdict); ok {
		return []chain{r.chain()}
	}
	return nil
}

// ranges returns the content of the sets that settings fill.
func (s *Settings) ranges() map[setID][]netip.Prefix {
	out := map[setID][]netip.Prefix{}
	for _, f := range inet.Families() {
		out[setID{kPods, f}] = inet.Normalize(s.Pods.CIDRs, f)
		out[setID{kNodePortAddrs, f}] = inet.Normalize(s.NodePortAddrs, f)
		out[setID{kServiceCIDRs, f}] = inet.Normalize(s.ServiceCIDRs, f)
		out[setID{kCluster, f}] = inet.Normalize(s.Cluster, f)
		out[setID{kEgress, f}] = inet.Normalize(s.Egress.Sources, f)
		out[setID{kNoMasquerade, f}] = inet.Normalize(s.Egress.kept(s.Cluster), f)
		out[setID{kVTEPs, f}] = inet.Normalize(hosts(s.Tunnels.Addrs), f)
	}
	return out
}

// nextFrontends plans touched frontends until the batch is full. It reports
// whether that was all of them.
func (s *State) nextFrontends(b *Batch, limit int) bool {
	return s.touched.each(func(key inet.Addr) bool {
		return b.size() < limit && s.planFrontend(b, key, limit)
	})
}

// nextMembers does the same for elements that frontends share.
func (s *State) nextMembers(b *Batch, q *queue[element], limit int) bool {
	return q.each(func(e element) bool {
		_, have := s.have.members[e]
		want := s.members[e] > 0
		if have == want {
			return true
		}
		if b.size() >= limit {
			return false
		}
		if want {
			b.adds = append(b.adds, e)
		} else {
			b.dels = append(b.dels, e)
		}
		return true
	})
}

// idleChains returns the chains that neither the program nor a frontend uses,
// each before those that it refers to.
func (s *State) idleChains() []string {
	if len(s.idle) == 0 {
		return nil
	}
	live := map[string]struct{}{}
	for _, c := range program(&s.settings, s.sticks()) {
		live[c.name] = struct{}{}
	}
	for verdict := range s.have.verdicts {
		for _, c := range chainsOf(verdict, &s.settings) {
			live[c.name] = struct{}{}
		}
	}
	var out []string
	for name := range s.have.chains {
		if _, ok := live[name]; !ok {
			out = append(out, name)
		}
	}
	slices.SortFunc(out, compareDrops)
	if len(out) == 0 {
		clear(s.idle) // only saves looking again
	}
	return out
}

// Acked records that the kernel carried out b, the batch that Next returned
// last.
func (s *State) Acked(b *Batch) {
	if s.program {
		s.have.exists, s.have.alien, s.have.junk = true, "", nil
		s.program = false
	}
	if b.recreate {
		s.have.chains, s.have.ranges = map[string]string{}, map[setID][]netip.Prefix{}
	}
	for _, c := range b.chains {
		s.have.chains[c.name] = c.fingerprint()
	}
	for _, f := range b.fills {
		s.have.ranges[f.set] = f.ranges
	}
	s.ackMembers(b)
	for _, c := range b.after {
		s.ackFrontend(c)
	}
	for _, name := range b.drops {
		delete(s.have.chains, name)
	}
	if len(b.drops) > 0 {
		clear(s.idle)
	}
	s.touched.compact()
}

func (s *State) ackMembers(b *Batch) {
	for _, e := range b.dels {
		if e.isMember() {
			delete(s.have.members, e)
		}
	}
	for _, e := range b.adds {
		if e.isMember() {
			s.have.members[e] = struct{}{}
		}
	}
	for _, q := range []*queue[element]{&s.early, &s.late} {
		q.each(func(e element) bool {
			_, have := s.have.members[e]
			if have != (s.members[e] > 0) {
				return false // the rest is for another batch, too
			}
			q.remove(e)
			return true
		})
		q.compact()
	}
}

// isMember tells elements that belong to no frontend, or to several.
func (e *element) isMember() bool {
	switch e.set.kind {
	case kHairpin, kClusterIPs, kOutside, kNodes, kHostPorts, kHostIPPorts:
		return true
	}
	return false
}

func (s *State) ackFrontend(c change) {
	if old := s.have.frontends[c.key]; old != nil {
		s.release(old.verdict)
		s.release(old.remember)
	}
	if c.now == nil {
		delete(s.have.frontends, c.key)
	} else {
		s.have.frontends[c.key] = c.now
		s.hold(c.now.verdict)
		s.hold(c.now.remember)
	}
	if c.done {
		s.touched.remove(c.key)
	}
}

func (s *State) hold(verdict string) {
	if verdict != "" {
		s.have.verdicts[verdict]++
	}
}

func (s *State) release(verdict string) {
	if verdict == "" {
		return
	}
	if s.have.verdicts[verdict]--; s.have.verdicts[verdict] == 0 {
		delete(s.have.verdicts, verdict)
		s.idle[verdict] = struct{}{}
	}
}
