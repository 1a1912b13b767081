// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"strings"
	"testing"

	"github.com/google/nftables/expr"

	"fairlead/nat"
	"fairlead/nat/nattest"
	"fairlead/nat/ruleset"
)

// walker counts the elements that the kernel goes through in a batch: all of a map for each
// new rule that reads it (nf_tables_bind_set).
type walker struct {
	elements map[string]int        // by map
	counts   func(set string) bool // nil for all maps
	most     int                   // in one batch
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
					if l, ok := e.(*expr.Lookup); ok && l.IsDestRegSet && (w.counts == nil || w.counts(l.SetName)) {
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

// serve gives a tenant's Service n backends.
func serve(s *State, n int) {
	s.Set(evilAddr(0), nat.Frontend{Policy: nat.External, Owner: "evil/web", Backends: outsidePods(n)})
}

func newWalker() *walker { return &walker{elements: map[string]int{}} }

// tensOf returns a State with n frontends of ten backends.
func tensOf(n int) *State {
	s := NewState()
	s.Configure(nattest.Settings())
	for i := range n {
		s.Set(laneKey(i), nat.Frontend{Policy: nat.Internal, Owner: "d/web", Backends: nattest.Pods(10)})
	}
	return s
}

// drawsIn returns how many chains draw from backends4.
func drawsIn(s *State) (n int) {
	for name := range s.have.chains {
		if strings.HasPrefix(name, "draw4-") {
			n++
		}
	}
	return n
}

const sizes = nat.MaxClass + 1

// TestNewSizesWalkNothing: others have 60,000 backends in a map, and one tenant makes a Service
// of each size class, again and again, at once or by slices of 1,000.
func TestNewSizesWalkNothing(t *testing.T) {
	s, w := tensOf(6000), newWalker()
	w.drain(s)
	if w.elements["backends4"] != 60_000 || w.most > 0 {
		t.Fatalf("%d backends, the kernel went through %d", w.elements["backends4"], w.most)
	}
	for range 2 {
		for size := 1; size <= 1<<nat.MaxClass; size *= 2 {
			serve(s, size)
			w.drain(s)
			s.Delete(evilAddr(0))
			w.drain(s) // with what is idle
		}
		for n := 1000; n < 1<<nat.MaxClass; n += 1000 {
			serve(s, n)
			w.drain(s)
		}
		s.Delete(evilAddr(0))
		w.drain(s)
	}
	if w.most > 0 {
		t.Errorf("the kernel goes through %d elements in one transaction", w.most)
	}
}

// TestGrowthWalksLittle lets a small table grow by slices of 1,000 backends, as EndpointSlices
// arrive, and at once. The chains of all sizes come before the backends.
func TestGrowthWalksLittle(t *testing.T) {
	for _, by := range []int{1000, 1 << nat.MaxClass} {
		s, w := manyFrontends(100), newWalker()
		w.drain(s)
		for n := by; n <= 1<<nat.MaxClass; n += by {
			serve(s, n)
			w.drain(s)
		}
		if w.most > mostWalk || drawsIn(s) != sizes {
			t.Errorf("by %d: the kernel goes through %d elements in one transaction, want %d at most; %d chains", by, w.most, mostWalk, drawsIn(s))
		}
	}
}

// TestAroundFewSlots lets a map become large and small again and again. Its chains depend on
// its size and nothing else, as those of a table that is made anew.
func TestAroundFewSlots(t *testing.T) {
	s, w := manyFrontends(100), newWalker() // 300 backends
	w.drain(s)
	small := s.Text()
	for range 3 {
		serve(s, fewSlots)
		w.drain(s)
		if n := drawsIn(s); n != sizes || strings.Count(s.Text(), "chain draw4-") != sizes {
			t.Fatalf("the large map has %d chains, want %d", n, sizes)
		}
		s.Delete(evilAddr(0))
		w.drain(s)
		if n := drawsIn(s); n != 3 || s.Text() != small {
			t.Fatalf("%d chains are left of the large map", n)
		}
	}
	if w.most > mostWalk {
		t.Errorf("the kernel goes through %d elements in one transaction", w.most)
	}
}

// TestDrawsMissing takes over a large table which has the chains of the sizes in use only, as
// after another program deleted the rest. They are made one in a batch, because each costs a
// walk, and small changes of others are in each of these batches.
func TestDrawsMissing(t *testing.T) {
	s := tensOf(6000)
	newWalker().drain(s)
	inUse := map[string]bool{"draw4-16": true, "draw4-8": true, "draw4-1": true}
	for name := range s.have.chains {
		if strings.HasPrefix(name, "draw4-") && !inUse[name] {
			delete(s.have.chains, name)
		}
	}
	s.drawn = false // as Adopt does
	batches := 0
	for ; ; batches++ {
		key := laneKey(batches)
		s.Set(key, nat.Frontend{Policy: nat.Internal, Owner: "d/web", Backends: nattest.Pods(9)})
		step := s.Next(0)
		if !has(step, key) {
			t.Fatalf("batch %d lacks a small change", batches)
		}
		made := 0
		for i := range step.Batch {
			if step.Batch[i].Verb == ruleset.AddChain {
				made++
			}
		}
		if s.Acked(step); made == 0 {
			break
		}
		if made > 1 {
			t.Errorf("batch %d makes %d chains", batches, made)
		}
	}
	if batches != sizes-len(inUse) || drawsIn(s) != sizes {
		t.Errorf("%d batches, %d chains", batches, drawsIn(s))
	}
}

// TestDrawRefused: a chain that the kernel refuses is set aside, nothing else waits for it, and
// Retry tries it again.
func TestDrawRefused(t *testing.T) {
	s := manyFrontends(400)
	for step := s.Next(0); step != nil; step = s.Next(0) {
		refused := false
		for i := range step.Batch {
			if o := &step.Batch[i]; o.Verb == ruleset.AddChain && o.Chain.Name == "draw4-4096" {
				s.RefuseChain(o.Chain)
				refused = true
			}
		}
		if !refused {
			s.Acked(step)
		}
	}
	if n := drawsIn(s); n != sizes-1 || s.Pending() != 1 {
		t.Errorf("%d chains, %d pending", n, s.Pending())
	}
	s.Retry()
	newWalker().drain(s)
	if n := drawsIn(s); n != sizes || s.Pending() != 0 {
		t.Errorf("%d chains after Retry, %d pending", n, s.Pending())
	}
}
