// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"net/netip"

	"fairlead/internal/inet"
	"fairlead/nat"
	"fairlead/nat/ruleset"
)

// Step holds a batch and the changes to the State once the kernel has carried it out.
type Step struct {
	ruleset.Batch
	// Blocked are frontends that the step leaves out because they need a chain or a set
	// that the kernel refused.
	Blocked []Blocked

	changes []change
	unstick []nat.Pair
	ranges  map[ruleset.Set][]netip.Prefix // their new content
	junk    int                            // how many of holding.junk are deleted
	// programmed says that the batch holds everything that belongs to no frontend.
	programmed bool

	limit, cost int
	work        int                 // elements of frontends that may still be compared
	room        int                 // for the first frontend
	named       map[string]struct{} // chains in the batch
	members     map[member]struct{} // in the batch
	slow        []inet.Addr         // turned out to be large
	bulk        bool                // the batch has large changes
	ahead       bool                // the batch has chains that nothing uses until the next step
	idle        bool                // the batch deletes what has no user, and nothing else
}

// Bounds of a step, whatever the size of a frontend.
const (
	// mostSmall is how many operations a change has that comes before large ones.
	mostSmall = 64
	// mostBulk is the cost of a batch up to which large changes fill it. They get
	// leastBulk, however much there is of small ones.
	mostBulk  = 2 * ruleset.DefaultLimit
	leastBulk = ruleset.DefaultLimit / 4
	// mostWork is how many elements of frontends a step compares. It takes a few
	// milliseconds.
	mostWork = 1 << 15
	// mostBatches is how many batches chains and sets without a user stay at most, among
	// them those of other programs. They go earlier when nothing else is left to do.
	mostBatches = 100
)

// unlimited is the limit of a batch that has none.
const unlimited = 1 << 40

// Blocked is a frontend and what it would need, for example "chain pick4-4".
type Blocked struct {
	Frontend inet.Addr
	Needs    string
}

// change describes one frontend after a step, with the operations that lead there.
type change struct {
	key      inet.Addr
	now      *installed // nil: gone
	done     bool       // the frontend is then as wanted
	from, to int        // operations in the batch
}

// Keys returns the frontends that the step changes.
func (s *Step) Keys() []inet.Addr {
	keys := make([]inet.Addr, len(s.changes))
	for i, c := range s.changes {
		keys[i] = c.key
	}
	return keys
}

// Busy returns the frontends for which the batch has operations.
func (s *Step) Busy() []inet.Addr {
	var keys []inet.Addr
	for _, c := range s.changes {
		if c.from < c.to {
			keys = append(keys, c.key)
		}
	}
	return keys
}

// Frontend returns the frontend that an operation of the batch is for. It reports
// false for an operation that is for several or none.
func (s *Step) Frontend(op int) (inet.Addr, bool) {
	for _, c := range s.changes {
		if c.from <= op && op < c.to {
			return c.key, true
		}
	}
	return inet.Addr{}, false
}

// IsIdle reports whether the step deletes chains, sets and objects without a user, and nothing
// else.
func (s *Step) IsIdle() bool { return s.idle }

// Unstick returns the clients of sticky frontends that must lose their backend once
// the batch is committed. A Pair without backend stands for all backends of a
// frontend that is no longer sticky. See kernel.AffinityCleaner.
func (s *Step) Unstick() []nat.Pair { return s.unstick }

func (s *Step) isEmpty() bool {
	return len(s.Batch) == 0 && len(s.changes) == 0 && len(s.Blocked) == 0
}

// Cost returns what the batch counts against the limit of Next.
func (s *Step) Cost() int { return s.cost }

// isFull reports whether the batch has reached its limit.
func (s *Step) isFull() bool { return s.cost >= s.limit }

func (s *Step) add(ops ...ruleset.Op) {
	for i := range ops {
		s.cost += ops[i].Cost()
	}
	s.Batch = append(s.Batch, ops...)
}

// has reports whether the batch makes a chain.
func (s *Step) has(chain string) bool {
	_, ok := s.named[chain]
	return ok
}

func (s *Step) addChain(c *ruleset.Chain) {
	if s.named == nil {
		s.named = map[string]struct{}{}
	}
	s.named[c.Name] = struct{}{}
	s.add(ruleset.Op{Verb: ruleset.AddChain, Chain: c})
}

func (s *Step) addChains(chains []ruleset.Chain) {
	for i := range chains {
		if !s.has(chains[i].Name) {
			s.addChain(&chains[i])
		}
	}
}

func (s *Step) hasMember(m *member) bool {
	_, ok := s.members[*m]
	return ok
}

func (s *Step) addMember(m *member) {
	if s.members == nil {
		s.members = map[member]struct{}{}
	}
	s.members[*m] = struct{}{}
}
