// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"testing"

	"fairlead/internal/inet"
	"fairlead/nat"
	"fairlead/nat/nattest"
)

// TestRecycle changes two States at random in the same way. One gives the memory of each
// step to the next: its steps are those of the other, and so is what it knows.
func TestRecycle(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	kept, reused := NewState(), NewState()
	for _, s := range []*State{kept, reused} {
		s.Configure(nattest.Settings())
	}
	for i := range 400 {
		key := inet.Addr{IP: netip.AddrFrom4([4]byte{10, 96, 0, byte(r.IntN(20))}), Port: 80, Proto: inet.TCP}
		f := nat.Frontend{Policy: nat.Internal, Owner: fmt.Sprint("d/web-", i%3), Exclusive: true}
		for range r.IntN(60) {
			ip := netip.AddrFrom4([4]byte{192, 0, 2, byte(r.IntN(200))})
			f.Backends = append(f.Backends, nat.BackendAt(netip.AddrPortFrom(ip, 80), ip.As4()[3]%7 == 0))
		}
		for _, s := range []*State{kept, reused} {
			if len(f.Backends) == 0 {
				s.Delete(key)
			} else {
				s.Set(key, f)
			}
		}
		limit := 1 + r.IntN(100)
		for {
			want, got := kept.Next(limit), reused.Next(limit)
			if want == nil || got == nil {
				if want != got {
					t.Fatalf("change %d: one has another step, the other has none", i)
				}
				break
			}
			if want.String() != got.String() {
				t.Fatalf("change %d: with memory of earlier steps\n%swant\n%s", i, got, want)
			}
			kept.Acked(want)
			reused.Acked(got)
			reused.Recycle(got)
		}
	}
	if drift := reused.have.drift(&kept.have, nil); len(drift) > 0 {
		t.Errorf("what is known differs by %v", drift)
	}
}

// allocated returns how many bytes f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestRecycleCosts: steps that use each other's memory allocate a fraction of it.
func TestRecycleCosts(t *testing.T) {
	fill := func(recycle bool) (bytes uint64) {
		return allocated(func() {
			s := NewState()
			s.Configure(nattest.Settings())
			for i := range 400 {
				f := nat.Frontend{Policy: nat.Internal, Owner: "d/web"}
				for b := range 50 {
					f.Backends = append(f.Backends, nat.BackendAt(netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, byte(i), byte(b)}), 80), false))
				}
				s.Set(inet.Addr{IP: netip.AddrFrom4([4]byte{10, 96, byte(i >> 8), byte(i)}), Port: 80, Proto: inet.TCP}, f)
			}
			for step := s.Next(0); step != nil; step = s.Next(0) {
				s.Acked(step)
				if recycle {
					s.Recycle(step)
				}
			}
		})
	}
	if with, without := fill(true), fill(false); with > without*2/3 {
		t.Errorf("40,000 elements allocate %d bytes, and %d without memory of earlier steps", with, without)
	}
}

// TestRest: when nothing is pending, only the memory of a small step stays.
func TestRest(t *testing.T) {
	s := NewState()
	s.Configure(nattest.Settings())
	write := func(backends int) {
		f := nat.Frontend{Policy: nat.Internal, Owner: "d/web", Backends: outsidePods(backends)}
		s.Set(inet.Addr{IP: netip.AddrFrom4([4]byte{10, 96, 0, 1}), Port: 80, Proto: inet.TCP}, f)
		for step := s.Next(0); step != nil; step = s.Next(0) {
			s.Acked(step)
			s.Recycle(step)
		}
	}
	write(2) // with all chains, which is a large step
	write(3)
	if b := &s.buffers; cap(b.batch) == 0 || b.members == nil {
		t.Errorf("a small step left %d operations and members: %v", cap(b.batch), b.members != nil)
	}
	write(4 * mostSmall)
	if b := &s.buffers; cap(b.batch) > mostSmall || cap(b.dels) > mostSmall || cap(b.adds) > mostSmall || b.members != nil {
		t.Errorf("a large step left %d operations and members: %v", cap(b.batch), b.members != nil)
	}
}
