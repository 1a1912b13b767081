// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"testing"

	"github.com/google/nftables/expr"

	"fairlead/nat"
	"fairlead/nat/nattest"
	"fairlead/nat/ruleset"
)

// walker counts the elements that the kernel goes through in a batch: all of a map for each
// new rule that reads it (nf_tables_bind_set).
type walker struct {
	elements map[string]int // by map
	most     int            // in one batch
}

func (w *walker) carryOut(b ruleset.Batch) {
	walked := 0
	for i := range b {
		switch o := &b[i]; o.Verb {
		case ruleset.AddElement:
			w.elements[o.Element.Set.String()]++
		case ruleset.DeleteElement:
			w.elements[o.Element.Set.String()]--
		case ruleset.AddChain:
			for _, r := range o.Chain.Rules {
				for _, e := range r.Exprs {
					if l, ok := e.(*expr.Lookup); ok && l.IsDestRegSet {
						walked += w.elements[l.SetName]
					}
				}
			}
		}
	}
	w.most = max(w.most, walked)
}

func (w *walker) drain(s *State) {
	for step := s.Next(bulkLimit); step != nil; step = s.Next(bulkLimit) {
		w.carryOut(step.Batch)
		s.Acked(step)
	}
}

// TestNewSizesWalkOnce: others have 60,000 backends in a map, and one tenant makes a Service of
// each size class, again and again, at once or by slices of 1,000. In a transaction the kernel
// goes through the map for the two classes that a new chain draws from and for slot 0.
func TestNewSizesWalkOnce(t *testing.T) {
	s := NewState()
	s.Configure(nattest.Settings())
	const others = 60_000
	for i := range others / 10 {
		s.Set(laneKey(i), nat.Frontend{Policy: nat.Internal, Owner: "d/web", Backends: nattest.Pods(10)})
	}
	w := &walker{elements: map[string]int{}}
	w.drain(s)
	if w.elements["backends4"] != others {
		t.Fatalf("%d backends", w.elements["backends4"])
	}
	evil := func(n int) {
		s.Set(evilAddr(0), nat.Frontend{Policy: nat.External, Owner: "evil/web", Backends: outsidePods(n)})
		w.drain(s)
	}
	w.most = 0
	for range 2 {
		for size := 1; size <= 1<<nat.MaxClass; size *= 2 {
			evil(size)
			s.Delete(evilAddr(0))
			w.drain(s) // with what is idle
		}
		for n := 1000; n < 1<<nat.MaxClass; n += 1000 {
			evil(n)
		}
		s.Delete(evilAddr(0))
		w.drain(s)
	}
	if limit := 3 * (others + 1<<nat.MaxClass); w.most == 0 || w.most > limit {
		t.Errorf("the kernel goes through %d elements in one transaction, want %d at most", w.most, limit)
	}
}
