// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"maps"
	"slices"

	"fairlead/internal/inet"
	"fairlead/nat"
	"fairlead/nat/ruleset"
)

// Transition replaces the rules or sets of another version by ours, so that each packet
// meets either the old table or the new one.
type Transition struct {
	// Build are batches that make new sets, with their elements, and new chains. Nothing
	// in the kernel uses these yet.
	Build []ruleset.Batch
	// Swap is everything else. It has to be one transaction, whatever its size.
	Swap ruleset.Batch
	// Changed are the frontends with operations, and Unstick is as in Step.
	Changed []inet.Addr
	Unstick []nat.Pair
	// Blocked is as in Step.
	Blocked []Blocked
}

// maxPasses bounds how many steps of any size a transition takes: one for what is wanted,
// one or two for what is then without a user.
const maxPasses = 8

// Transition returns the change from the table that Adopt found to the wanted one, if
// that table serves frontends and its rules or sets differ. It returns nil otherwise:
// then Next mends the table step by step, the most important frontends first.
//
// The State takes the change for carried out. If the kernel refuses it, Adopt must
// follow.
func (s *State) Transition() *Transition {
	serves := s.have.exists && s.have.flags != ruleset.TableDormant && (len(s.have.frontends) > 0 || isForeign(s.have.flags))
	if !serves || !s.programDiffers() {
		return nil
	}
	builder := builder{sets: maps.Clone(s.have.sets), chains: maps.Clone(s.have.chains), odd: map[string]bool{}}
	for set := range s.have.oddSets {
		builder.odd[set.String()] = true
	}
	for chain := range s.have.oddChains {
		builder.odd[chain] = true
	}
	t := &Transition{}
	var all []ruleset.Batch
	for range maxPasses {
		step := s.next(&Step{limit: unlimited, room: unlimited})
		if step == nil {
			break
		}
		all = append(all, step.Batch)
		t.Changed = append(t.Changed, step.Keys()...)
		t.Unstick = append(t.Unstick, step.Unstick()...)
		t.Blocked = step.Blocked
		if len(step.Batch) == 0 && len(step.changes) == 0 {
			break // what is left is blocked
		}
		s.Acked(step)
	}
	t.split(all, &builder)
	return t
}

// programDiffers reports whether the program needs any operation.
func (s *State) programDiffers() bool {
	if !s.program {
		return false
	}
	probe := &Step{limit: unlimited, room: unlimited}
	s.nextProgram(probe)
	return len(probe.Batch) > 0
}

// builder knows what can be made before the swap.
type builder struct {
	sets   map[ruleset.Set]struct{} // that exist
	chains map[string]string        // that exist
	odd    map[string]bool          // sets and chains that the swap replaces
}

// builds reports whether an operation makes something that nothing uses yet. Elements of
// verdict maps need chains, and a base chain sees packets at once, so these do not.
func (b *builder) builds(o *ruleset.Op) bool {
	switch o.Verb {
	case ruleset.AddSet:
		_, exists := b.sets[o.Set]
		return !exists
	case ruleset.AddElement:
		_, exists := b.sets[o.Element.Set]
		return !exists && !o.Element.Set.Spec().Verdict
	case ruleset.AddChain:
		if _, exists := b.chains[o.Chain.Name]; exists || o.Chain.Hook != nil {
			return false
		}
		replaced := false
		use := func(name string) { replaced = replaced || b.odd[name] }
		o.Chain.Uses(use, use)
		if replaced {
			b.odd[o.Chain.Name] = true // and so do the chains that lead there
		}
		return !replaced
	}
	return false
}

// split divides the operations. Nothing can be built before a table is made anew.
func (t *Transition) split(all []ruleset.Batch, b *builder) {
	size, anew := 0, false
	for _, batch := range all {
		size += len(batch)
		anew = anew || slices.ContainsFunc(batch, func(o ruleset.Op) bool { return o.Verb == ruleset.DeleteTable })
	}
	t.Swap = make(ruleset.Batch, 0, size) // it may have a hundred thousand
	cost := ruleset.DefaultLimit          // of the last batch of Build
	for _, batch := range all {
		for i := range batch {
			if anew || !b.builds(&batch[i]) {
				t.Swap = append(t.Swap, batch[i])
				continue
			}
			if cost >= ruleset.DefaultLimit {
				t.Build, cost = append(t.Build, nil), 0
			}
			last := &t.Build[len(t.Build)-1]
			*last = append(*last, batch[i])
			cost += batch[i].Cost()
		}
	}
}

// Size returns the number of operations.
func (t *Transition) Size() int {
	n := len(t.Swap)
	for _, b := range t.Build {
		n += len(b)
	}
	return n
}
