// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"net/netip"

	"fairlead/nat/ruleset"
)

// Acked records that the kernel carried out b, the batch that Next returned
// last.
func (s *State) Acked(b *Step) {
	if s.program {
		s.have.exists, s.have.alien, s.have.junk = true, "", nil
		s.program = false
	}
	if b.Recreate {
		s.have.chains, s.have.ranges = map[string]string{}, map[ruleset.Set][]netip.Prefix{}
	}
	for _, c := range b.Chains {
		s.have.chains[c.Name] = c.Fingerprint()
	}
	for _, f := range b.Fills {
		s.have.ranges[f.Set] = f.Ranges
	}
	s.ackMembers(b)
	for _, c := range b.changes {
		s.ackFrontend(c)
	}
	for _, name := range b.Drops {
		delete(s.have.chains, name)
	}
	if len(b.Drops) > 0 {
		clear(s.idle)
	}
	s.touched.compact()
}

func (s *State) ackMembers(b *Step) {
	for _, e := range b.Dels {
		if e.IsMember() {
			delete(s.have.members, e)
		}
	}
	for _, e := range b.Adds {
		if e.IsMember() {
			s.have.members[e] = struct{}{}
		}
	}
	for _, q := range []*queue[ruleset.Element]{&s.early, &s.late} {
		q.each(func(e ruleset.Element) bool {
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
