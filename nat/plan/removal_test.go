// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"net/netip"
	"testing"
	"time"

	"fairlead/nat"
)

// only returns the backends that keep wants, sorted.
func only(all []nat.Backend, keep func(i int) bool) []nat.Backend {
	var out []nat.Backend
	for i := range all {
		if keep(i) {
			out = append(out, all[i])
		}
	}
	return out
}

// TestRemovalInParts takes endpoints out of the middle of a frontend of 20,000, sticky or not. The
// first step finds out where each endpoint goes, and no other one does it again: it copies
// the slots, of 20 bytes each, and nothing else that grows with the frontend. Clients lose the
// endpoints that go, each of them once, and no other one.
func TestRemovalInParts(t *testing.T) {
	const n = 20_000
	all := outsidePods(n)
	for name, keep := range map[string]func(i int) bool{
		"1,000": func(i int) bool { return i%40 != 7 },
		"half":  func(i int) bool { return i%2 == 0 },
		"most":  func(i int) bool { return i%1000 == 0 },
		"all":   func(int) bool { return false },
	} {
		for _, sticky := range []time.Duration{0, time.Hour} {
			s := NewState()
			s.Configure(manyFrontends(1).settings)
			f := nat.Frontend{Policy: nat.External, Owner: "evil/web", Affinity: sticky, Backends: all}
			s.Set(evilAddr(0), f)
			newWalker().drain(s)
			f.Backends = only(all, keep)
			s.Set(evilAddr(0), f)
			lost := map[netip.AddrPort]int{}
			for steps := 0; ; steps++ {
				var step *Step
				if bytes := allocated(func() { step = s.Next(bulkLimit) }); steps > 1 && bytes > 24*n+500_000 {
					t.Errorf("%s, sticky %s: step %d allocates %d bytes", name, sticky, steps, bytes)
				}
				if step == nil {
					break
				}
				for _, p := range step.Unstick() {
					lost[p.Backend]++
				}
				s.Acked(step)
				s.Recycle(step)
			}
			checkRemoval(t, s, all, f.Backends, lost, sticky > 0)
		}
	}
}

func checkRemoval(t *testing.T, s *State, all, left []nat.Backend, lost map[netip.AddrPort]int, sticky bool) {
	t.Helper()
	want := map[netip.AddrPort]bool{}
	for _, b := range left {
		want[b.AddrPort()] = true
	}
	for _, b := range all {
		if gone := sticky && !want[b.AddrPort()] && len(left) > 0; gone != (lost[b.AddrPort()] == 1) || lost[b.AddrPort()] > 1 {
			t.Fatalf("clients lose %s %d times, which goes: %v", b, lost[b.AddrPort()], !want[b.AddrPort()])
		}
	}
	for _, slot := range s.have.frontends[evilAddr(0)].slots {
		if !want[slot.backend()] {
			t.Fatalf("%s is left, or there twice", slot.backend())
		}
		delete(want, slot.backend())
	}
	if len(want) > 0 || len(s.arranged) > 0 {
		t.Errorf("%d backends are missing, %d arrangements are kept", len(want), len(s.arranged))
	}
}

// TestRemovalInterrupted changes what is wanted, and what the kernel has, while a removal is under
// way. Each time the outcome is what is wanted last.
func TestRemovalInterrupted(t *testing.T) {
	all := outsidePods(10_000)
	half := only(all, func(i int) bool { return i%2 == 0 })
	third := only(all, func(i int) bool { return i%3 == 0 })
	for name, then := range map[string]func(s *State, set func([]nat.Backend)){
		"others":         func(_ *State, set func([]nat.Backend)) { set(third) },
		"there and back": func(s *State, set func([]nat.Backend)) { set(all); s.Acked(s.Next(bulkLimit)); set(half) },
		"gone and back": func(s *State, set func([]nat.Backend)) {
			s.Delete(evilAddr(0))
			s.Acked(s.Next(bulkLimit))
			set(half)
		},
		"not committed": func(s *State, _ func([]nat.Backend)) { s.Next(bulkLimit) },
	} {
		s := manyFrontends(1)
		f := nat.Frontend{Policy: nat.External, Owner: "evil/web", Affinity: time.Hour, Backends: all}
		set := func(list []nat.Backend) { f.Backends = list; s.Set(evilAddr(0), f) }
		set(all)
		newWalker().drain(s)
		set(half)
		s.Acked(s.Next(bulkLimit))
		if len(s.arranged) != 1 {
			t.Fatalf("%s: %d arrangements are kept on the way", name, len(s.arranged))
		}
		then(s, set)
		newWalker().drain(s)
		checkRemoval(t, s, nil, f.Backends, nil, false)
	}
}
