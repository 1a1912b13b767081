// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"fairlead/internal/inet"
	"fairlead/nat"
	"fairlead/nat/nattest"
	"fairlead/nat/ruleset"
)

// bulkLimit is the limit that is used where there is much to do.
const bulkLimit = 4 * ruleset.DefaultLimit

func evilAddr(i int) inet.Addr {
	return nattest.Addr(fmt.Sprintf("203.0.%d.%d:80", i/250, i%250), inet.TCP)
}

// withRanges returns a frontend that takes more than a batch.
func withRanges(owner string, n int) nat.Frontend {
	f := nat.Frontend{Policy: nat.External, Owner: owner, Backends: nattest.Pods(10), Restricted: true}
	for i := range n {
		f.Sources = append(f.Sources, netip.PrefixFrom(netip.AddrFrom4([4]byte{11, byte(i >> 7), byte(i << 1), 0}), 24))
	}
	return f
}

// outsidePods returns n backends outside of the cluster's ranges, each with an element of its own
// in a shared set.
func outsidePods(n int) []nat.Backend {
	out := make([]nat.Backend, n)
	for i := range out {
		out[i] = nat.BackendAt(netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}), 80), false)
	}
	return out
}

func has(step *Step, key inet.Addr) bool { return slices.Contains(step.Keys(), key) }

// attacks put much into the plan of a table that serves 100 frontends of others.
func attacks() map[string]func(s *State, i int) {
	return map[string]func(s *State, i int){
		"source ranges": func(s *State, i int) { s.Set(evilAddr(i), withRanges("evil/web", 1000+i)) },
		"endpoints": func(s *State, i int) {
			s.Set(evilAddr(i%8), nat.Frontend{Policy: nat.External, Owner: "evil/web", Backends: outsidePods(3000 + i)})
		},
		"removal": func(s *State, i int) {
			s.Set(evilAddr(i), withRanges("evil/web", 1000))
			if i == 99 {
				for step := s.Next(bulkLimit); step != nil; step = s.Next(bulkLimit) {
					s.Acked(step)
				}
				for n := range 100 {
					s.Delete(evilAddr(n))
				}
			}
		},
	}
}

// TestSmallBeforeLarge has one tenant put in 100 large frontends. A small change of another
// one is in the very next batch, no batch exceeds its bound, the large ones go on in each
// batch, and another tenant's large frontend gets its turns among them.
func TestSmallBeforeLarge(t *testing.T) {
	for name, attack := range attacks() {
		t.Run(name, func(t *testing.T) {
			s := manyFrontends(100)
			order(t, s, nil)
			for i := range 100 {
				attack(s, i)
			}
			s.Acked(s.Next(bulkLimit)) // declares sets
			s.Set(evilAddr(500), withRanges("other/web", 1500))
			batches, others := 0, 0
			for step := s.Next(bulkLimit); step != nil && batches < 60; step = s.Next(bulkLimit) {
				if step.cost > bulkLimit+mostSmall {
					t.Fatalf("batch %d costs %d", batches, step.cost)
				}
				s.Acked(step)
				if batches++; has(step, evilAddr(500)) {
					others = batches
				}
				small := laneKey(batches % 100)
				s.Set(small, nat.Frontend{Policy: nat.Internal, Owner: "d/web", Backends: nattest.Pods(3 + batches%2)})
				next := s.Next(bulkLimit)
				if next == nil {
					break
				}
				if !has(next, small) && s.Waits(small) {
					t.Fatalf("batch %d does not have the small change", batches)
				}
				if evil := slices.ContainsFunc(next.Keys(), func(k inet.Addr) bool { return k.IP.As4()[0] == 203 }); !evil && len(s.dirty.bulk.order) > 0 && len(next.Keys()) > 0 {
					t.Fatalf("batch %d has nothing of the large frontends", batches)
				}
			}
			if others == 0 || others > 12 {
				t.Errorf("another tenant's large frontend was last written in batch %d", others)
			}
		})
	}
}

// TestSmallInTurns has one tenant put in 1,000 frontends that are small, but fill many batches.
// A change of another tenant, to a frontend that is served or to a new one, is in the next
// batch, and frontends of one tenant are written in the order in which they came.
func TestSmallInTurns(t *testing.T) {
	s := manyFrontends(100)
	order(t, s, nil)
	for i := range 1000 {
		s.Set(evilAddr(i), nat.Frontend{Policy: nat.Internal, Owner: "evil/web", Backends: nattest.Pods(4)})
	}
	var evil []inet.Addr
	batches := 0
	for step := s.Next(0); step != nil; step = s.Next(0) {
		for _, key := range step.Keys() {
			if key.IP.As4()[0] == 203 {
				evil = append(evil, key)
			}
		}
		s.Acked(step)
		batches++
		if batches > 3 {
			continue
		}
		changed := []inet.Addr{laneKey(batches), nattest.Addr(fmt.Sprintf("10.97.0.%d:80", batches), inet.TCP)}
		for _, key := range changed {
			s.Set(key, nat.Frontend{Policy: nat.Internal, Owner: "d/web", Backends: nattest.Pods(4)})
		}
		for _, key := range changed {
			if next := s.Next(0); next == nil || !has(next, key) {
				t.Errorf("batch %d lacks %s", batches, key)
			}
		}
	}
	if batches < 5 || len(evil) != 1000 || !slices.IsSortedFunc(evil, inet.Addr.Compare) {
		t.Errorf("%d batches with %d frontends of the tenant, sorted %v", batches, len(evil), slices.IsSortedFunc(evil, inet.Addr.Compare))
	}
}

// TestChainsAhead: the kernel goes through the whole map of backends for each new chain that
// reads it. So the chains of a large frontend come before its backends, whether it is new or
// has grown.
func TestChainsAhead(t *testing.T) {
	for _, before := range []int{0, 3} {
		s := manyFrontends(100)
		if before > 0 {
			s.Set(evilAddr(0), nat.Frontend{Policy: nat.External, Owner: "evil/web", Backends: nattest.Pods(before)})
		}
		order(t, s, nil)
		s.Set(evilAddr(0), nat.Frontend{Policy: nat.External, Owner: "evil/web", Backends: outsidePods(5000)})
		added, ahead := 0, -1
		for step := s.Next(0); step != nil; step = s.Next(0) {
			for i := range step.Batch {
				switch o := &step.Batch[i]; {
				case o.Verb == ruleset.AddChain && o.Chain.Name == "pick4-8192":
					ahead = added
				case o.Verb == ruleset.AddElement && o.Element.Set.Kind == ruleset.Backends:
					added++
				}
			}
			s.Acked(step)
		}
		if added < 5000 || ahead != 0 {
			t.Errorf("with %d backends before: the chain came after %d of %d", before, ahead, added)
		}
	}
}

// TestPlanInSlices bounds what a step compares, and so how long it takes, whatever the size
// and number of frontends. Only the first one of a step may exceed the bound.
func TestPlanInSlices(t *testing.T) {
	s := NewState()
	s.Configure(nattest.Settings())
	order(t, s, nil)
	const big = 10_000
	for round := range 2 { // put in, then change one backend of each
		for i := range 8 {
			f := nat.Frontend{Policy: nat.External, Owner: "evil/web", Backends: outsidePods(big)}
			f.Backends = f.Backends[round:]
			s.Set(evilAddr(i), f)
		}
		steps := 0
		for step := s.Next(bulkLimit); step != nil; step = s.Next(bulkLimit) {
			if step.work < -3*big {
				t.Fatalf("step %d compares %d elements, the bound is %d", steps, mostWork-step.work, mostWork)
			}
			s.Acked(step)
			steps++
		}
		if round == 1 && steps < 3 {
			t.Errorf("%d steps for 8 frontends of %d backends", steps, big)
		}
	}
}

// TestExclusiveAtLast gives an address many ports while others change all the time. It
// becomes exclusive in the batch of its last port, even while other frontends wait, and
// Hold delays that.
func TestExclusiveAtLast(t *testing.T) {
	for _, held := range []bool{false, true} {
		s := manyFrontends(100)
		order(t, s, nil)
		ip := netip.MustParseAddr("10.96.200.1")
		left := map[uint16]bool{}
		for port := range uint16(2000) {
			left[port+1] = true
			s.Set(inet.Addr{IP: ip, Port: port + 1, Proto: inet.TCP}, nat.Frontend{Policy: nat.Internal, Exclusive: true, Owner: "d/wide", Backends: nattest.Pods(1)})
		}
		if held {
			s.Hold(ip)
		}
		exclusive := false
		for n := 0; n < 100 && !exclusive; n++ {
			s.Set(laneKey(n), nat.Frontend{Policy: nat.Internal, Owner: "d/web", Backends: nattest.Pods(3 + n%2)})
			s.Set(laneKey(n), nat.Frontend{Policy: nat.Internal, Owner: "d/web", Backends: nattest.Pods(4 + n%2)})
			step := s.Next(0)
			for i := range step.Batch {
				switch e := &step.Batch[i].Element; {
				case e.Set.Kind == ruleset.VIPs && e.Key.IP == ip:
					delete(left, e.Key.Port)
				case e.Set.Kind == ruleset.ClusterIPs && e.Key.IP == ip:
					exclusive = true
				}
			}
			s.Acked(step)
			if n == 50 && held {
				if exclusive {
					t.Error("exclusive although it is held")
				}
				s.Release(ip)
			}
		}
		if !exclusive || len(left) > 0 {
			t.Errorf("held %v: exclusive %v, without %d ports", held, exclusive, len(left))
		}
	}
}

// TestMembersWithBackends: the batch of a backend has the elements that the backend needs
// in shared sets, or an earlier one had them.
func TestMembersWithBackends(t *testing.T) {
	s := manyFrontends(2000)
	for i := range 8 {
		s.Set(evilAddr(i), nat.Frontend{Policy: nat.External, Owner: "evil/web", Backends: outsidePods(5000)})
	}
	have := map[netip.Addr]bool{}
	for step := s.Next(bulkLimit); step != nil; step = s.Next(bulkLimit) {
		for i := range step.Batch {
			if e := &step.Batch[i].Element; step.Batch[i].Verb == ruleset.AddElement && e.Set.Kind == ruleset.Outside {
				if have[e.Client.Addr()] {
					t.Fatalf("%s is added twice", e)
				}
				have[e.Client.Addr()] = true
			}
		}
		for i := range step.Batch {
			e := &step.Batch[i].Element
			if e.Set.Kind == ruleset.Backends && e.Data.Addr().As4()[0] == 198 && !have[e.Data.Addr()] {
				t.Fatalf("%s comes before its element of the shared set", e)
			}
		}
		s.Acked(step)
	}
	if len(have) != 5000 {
		t.Errorf("%d shared elements, want 5000", len(have))
	}
}

// TestIdleMeanwhile: chains of other programs, and sets that nobody uses, go even if there is
// always something else to do.
func TestIdleMeanwhile(t *testing.T) {
	s := manyFrontends(100)
	s.Set(evilAddr(0), withRanges("d/web", 10))
	order(t, s, nil)
	s.have.chains["another"] = "program"
	s.Delete(evilAddr(0)) // the only user of its set
	s.idle = true
	gone := map[string]int{}
	for n := range 2 * mostBatches {
		s.Set(laneKey(n%100), nat.Frontend{Policy: nat.Internal, Owner: "d/web", Backends: nattest.Pods(3 + n/100 + n%2)})
		s.Set(laneKey(100), nat.Frontend{Policy: nat.Internal, Owner: "d/web", Backends: nattest.Pods(4 + n%2)})
		step := s.Next(0)
		if step == nil {
			t.Fatal("nothing to do")
		}
		for i := range step.Batch {
			if o := &step.Batch[i]; o.Verb == ruleset.DeleteChain || o.Verb == ruleset.DeleteSet {
				gone[o.Name] = n
			}
		}
		s.Acked(step)
	}
	for _, name := range []string{"another", "sources4-24"} {
		if n, ok := gone[name]; !ok || n > mostBatches+2 {
			t.Errorf("%s is deleted in batch %d (%v)", name, n, ok)
		}
	}
}

// TestLargeLeavesSmallLane: a large change of which each backend needs shared elements as well
// does not stop the small ones behind it.
func TestLargeLeavesSmallLane(t *testing.T) {
	s := manyFrontends(100)
	order(t, s, nil)
	for i := range 5 {
		s.Set(evilAddr(i), nat.Frontend{Policy: nat.External, Owner: "evil/web", Backends: outsidePods(500)})
	}
	for i := range 10 {
		s.Set(laneKey(i), nat.Frontend{Policy: nat.Internal, Owner: "d/web", Backends: nattest.Pods(4)})
	}
	step := s.Next(bulkLimit)
	if len(step.Keys()) == 0 { // chains come first
		s.Acked(step)
		step = s.Next(bulkLimit)
	}
	for i := range 10 {
		if !has(step, laneKey(i)) {
			t.Errorf("%s waits behind a large change", laneKey(i))
		}
	}
}
