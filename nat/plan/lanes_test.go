// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"fairlead/internal/inet"
	"fairlead/nat"
	"fairlead/nat/nattest"
	"fairlead/nat/ruleset"
)

func laneKey(i int) inet.Addr {
	return nattest.Addr(fmt.Sprintf("10.96.%d.%d:80", i/250, i%250), inet.TCP)
}

// manyFrontends returns a State that wants n frontends and has nothing.
func manyFrontends(n int) *State {
	s := NewState()
	s.Configure(nattest.Settings())
	for i := range n {
		s.Set(laneKey(i), nat.Frontend{Policy: nat.Internal, Owner: "d/web", Backends: nattest.Pods(3)})
	}
	return s
}

// order commits everything and returns the frontends in the order in which their verdicts
// were written, and the batch in which each was.
func order(t *testing.T, s *State, after func(batch int)) (keys []inet.Addr, batch map[inet.Addr]int) {
	t.Helper()
	batch = map[inet.Addr]int{}
	for n := 0; ; n++ {
		step := s.Next(0)
		if step == nil {
			return keys, batch
		}
		seen := map[inet.Addr]bool{}
		for _, key := range step.Keys() {
			if seen[key] {
				t.Errorf("batch %d plans %s twice", n, key)
			}
			seen[key] = true
		}
		for i := range step.Batch {
			if o := &step.Batch[i]; o.Verb == ruleset.AddElement && o.Element.Set.Kind == ruleset.VIPs {
				keys = append(keys, o.Element.Key)
				batch[o.Element.Key] = n
			}
		}
		s.Acked(step)
		if after != nil {
			after(n)
		}
	}
}

// TestOrderOfRepair fills a table that another program deleted: vital frontends first,
// then those with the most connections, then by address.
func TestOrderOfRepair(t *testing.T) {
	const n, dns, busy, busier = 2000, 1999, 1700, 1800
	s := manyFrontends(n)
	s.Set(laneKey(dns), nat.Frontend{Policy: nat.Internal, First: true, Owner: "kube-system/kube-dns", Backends: nattest.Pods(2)})
	order(t, s, nil)
	s.SetTraffic(map[inet.Addr]uint64{laneKey(busy): 10, laneKey(busier): 1000})
	s.Adopt(&ruleset.Snapshot{})
	keys, batch := order(t, s, nil)
	want := []inet.Addr{laneKey(dns), laneKey(busier), laneKey(busy), laneKey(0), laneKey(1)}
	if len(keys) != n || !slices.Equal(keys[:len(want)], want) {
		t.Errorf("%d frontends, the first ones %v, want %v", len(keys), keys[:len(want)], want)
	}
	if batch[laneKey(dns)] > 1 {
		t.Errorf("the vital frontend is in batch %d, want it right after the program", batch[laneKey(dns)])
	}
}

// TestFreshFirst changes endpoints while the table is filled, after a loss and when an agent
// starts. The next batch has them.
func TestFreshFirst(t *testing.T) {
	const n = 2000
	for _, lost := range []bool{true, false} {
		s := manyFrontends(n)
		if lost {
			order(t, s, nil)
			s.Adopt(&ruleset.Snapshot{})
		}
		changed := map[inet.Addr]int{} // the batch after which each one changed
		_, batch := order(t, s, func(b int) {
			if b < 2 || b > 8 || b%2 != 0 {
				return
			}
			fresh := nattest.Addr(fmt.Sprintf("10.97.0.%d:80", b), inet.TCP)
			served := laneKey(b) // which the kernel has by now
			for _, key := range []inet.Addr{fresh, served} {
				s.Set(key, nat.Frontend{Policy: nat.Internal, Owner: "d/changed", Backends: nattest.Pods(4)})
				changed[key] = b
			}
		})
		for key, at := range changed {
			if batch[key] > at+2 { // one for a new chain
				t.Errorf("lost %v: %s changed after batch %d and was written in batch %d", lost, key, at, batch[key])
			}
		}
	}
}

// TestLanes pushes and removes at random and expects each frontend to wait once.
func TestLanes(t *testing.T) {
	l := newLanes()
	r := rand.New(rand.NewPCG(1, 2))
	waits := map[inet.Addr]bool{}
	for range 20000 {
		key := laneKey(r.IntN(1000))
		switch r.IntN(4) {
		case 0:
			l.remove(key)
			delete(waits, key)
		case 1:
			l.pushLast(key, r.IntN(2) == 0)
			waits[key] = true
		case 2:
			l.pushBulk(key, fmt.Sprintf("n%d/web", r.IntN(5)))
			l.bulk.rotate()
			l.fresh.rotate()
			waits[key] = true
		default:
			l.push(key, fmt.Sprintf("n%d/web", r.IntN(5)), r.IntN(10) == 0, r.IntN(2) == 0)
			waits[key] = true
		}
		l.compact()
	}
	got := map[inet.Addr]int{}
	count := func(key inet.Addr) bool { got[key]++; return true }
	l.vital.each(count)
	l.fresh.eachInTurn(count)
	l.rest.each(count)
	l.bulk.each(count)
	if len(l.bulk.order) != len(l.bulk.of) || len(l.bulk.of) == 0 {
		t.Errorf("bulk has %d namespaces, in order %v", len(l.bulk.of), l.bulk.order)
	}
	if n := l.fresh.len(); n != l.freshes || n == 0 {
		t.Errorf("%d frontends in fresh, want %d", n, l.freshes)
	}
	if len(got) != len(waits) || l.len() != len(waits) {
		t.Errorf("%d of %d frontends wait, len is %d", len(got), len(waits), l.len())
	}
	for key, n := range got {
		if n != 1 || !waits[key] {
			t.Errorf("%s waits %d times, want %v", key, n, waits[key])
		}
	}
}
