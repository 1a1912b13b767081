// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"fairlead/nat"
	"fairlead/nat/nattest"
)

// TestExchangeSlots changes a few or many backends of large frontends again and again. One State may
// compare the lists of before and after; the other one looks up each backend. Both make the same steps.
func TestExchangeSlots(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 9))
	all := outsidePods(3000)
	exchanged := 0
	for range 4 {
		fast, slow := NewState(), NewState()
		settings := nattest.Settings()
		fast.Configure(settings)
		slow.Configure(settings)
		key := laneKey(1)
		wants := map[nat.Backend]bool{}
		for range 1 + r.IntN(1500) {
			wants[all[r.IntN(len(all))]] = true
		}
		owner := "a/b"
		for range 40 {
			n := r.IntN(6)
			if r.IntN(4) == 0 {
				n = r.IntN(60)
			}
			for range n {
				b := all[r.IntN(len(all))]
				onNode := b
				onNode.OnNode = true
				switch {
				case wants[b] && r.IntN(8) == 0:
					delete(wants, b)
					wants[onNode] = true
				case wants[b]:
					delete(wants, b)
				case wants[onNode]:
					delete(wants, onNode)
				default:
					wants[b] = true
				}
			}
			switch r.IntN(20) {
			case 0:
				owner += "x"
			case 1:
				settings.BackendCounters = !settings.BackendCounters
				fast.Configure(settings)
				slow.Configure(settings)
			case 2:
				fast.Delete(key)
				slow.Delete(key)
			}
			var list []nat.Backend
			for b := range wants {
				list = append(list, b)
			}
			slices.SortFunc(list, nat.Backend.CompareAddr)
			f := nat.Frontend{Policy: nat.External, Owner: owner, Backends: list}
			fast.Set(key, f)
			slow.Set(key, f)
			limit := []int{0, 0, 0, 20, 1, 5}[r.IntN(6)]
			for range 10_000 {
				if have := slow.have.frontends[key]; have != nil {
					have.exact = nil
				}
				if have := fast.have.frontends[key]; have != nil && have.exact != nil {
					exchanged++
				}
				one, two := fast.Next(limit), slow.Next(limit)
				if (one == nil) != (two == nil) || one != nil && (!reflect.DeepEqual(one.Batch, two.Batch) || !reflect.DeepEqual(one.unstick, two.unstick)) {
					t.Fatalf("the steps differ:\n%+v\n%+v", one, two)
				}
				if one == nil {
					break
				}
				fast.Acked(one)
				slow.Acked(two)
				if have := fast.have.frontends[key]; have != nil && have.exact != nil {
					checkExact(t, have)
				}
			}
			if fast.Pending() > 0 {
				t.Fatal("the frontend is not done")
			}
		}
	}
	if exchanged < 100 {
		t.Errorf("the lists of %d steps were compared, want more", exchanged)
	}
}

// checkExact finds what installed.exact says.
func checkExact(t *testing.T, have *installed) {
	t.Helper()
	got := slices.Clone(have.slots)
	slices.SortFunc(got, func(a, b slot) int { return a.backend().Compare(b.backend()) })
	want := make([]slot, len(*have.exact))
	for i, b := range *have.exact {
		want[i] = slotOf(b.AddrPort())
	}
	if !slices.Equal(got, want) {
		t.Fatalf("%d slots differ from the %d backends that they hold", len(got), len(want))
	}
}

// BenchmarkExchange takes one of 65,535 backends away and puts it back.
func BenchmarkExchange(b *testing.B) {
	all := outsidePods(65_535)
	less := slices.Delete(slices.Clone(all), 777, 778)
	s := NewState()
	s.Configure(nattest.Settings())
	key := laneKey(1)
	set := func(list []nat.Backend) {
		f := nat.Frontend{Policy: nat.External, Owner: "a/b", Backends: list}
		s.Prepare(key, f, func(int) {})
		s.Set(key, f)
		for step := s.Next(0); step != nil; step = s.Next(0) {
			s.Acked(step)
			s.Recycle(step)
		}
	}
	set(all)
	b.ReportAllocs()
	for b.Loop() {
		set(less)
		set(all)
	}
}
