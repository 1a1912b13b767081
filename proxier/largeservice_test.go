// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"fairlead/internal/counts"
	"fairlead/internal/nstest"
	"fairlead/proxier/objects"
	"fairlead/proxier/resolve"
	"fairlead/proxier/store"
)

// changeInLarge counts what it costs to replace an endpoint of a Service of n endpoints.
func changeInLarge(t *testing.T, n int) counts.Cost {
	t.Helper()
	c := newCounted(t)
	all := largeService(n)
	c.cost(t, c.put(all.put))
	one := all.slices[3]
	other := *one
	other.Endpoints = slices.Clone(one.Endpoints)
	other.Endpoints[50].Addr = netip.MustParseAddr("10.200.0.1")
	set := func(s *objects.Slice) func() {
		return c.put(func(tx *store.Tx) { copied := *s; tx.SetSlice(&copied) })
	}
	return c.play(t, scene{"", set(one), set(&other)})
}

// TestChangeInLarge doubles the endpoints of a Service. A change of one of them takes as many operations and
// allocations as before: only lists of addresses are copied.
func TestChangeInLarge(t *testing.T) {
	nstest.Long(t, "one goroutine counts what the loop does, which the packet tests run as well")
	once, twice := changeInLarge(t, 2000), changeInLarge(t, 4000)
	t.Logf("2000: %v", once)
	t.Logf("4000: %v", twice)
	once[counts.Heap], twice[counts.Heap] = 0, 0
	if err := counts.Same("change", once, twice); err != nil {
		t.Error(err)
	}
}

// TestLargeService changes the slices of a large Service again and again. The outcome is that of an agent that
// sees only the last state.
func TestLargeService(t *testing.T) {
	nstest.Need(t)
	r := rand.New(rand.NewPCG(1, 7))
	cfg := resolve.Config{NodeName: "node-1"}
	o := newInterleaved(t, cfg)
	defer o.close()
	o.table.quiet = true
	all := largeService(400)
	o.store.Update(all.put)
	for round := range 30 {
		for range 1 + r.IntN(3) {
			i := r.IntN(len(all.slices))
			s := *all.slices[i]
			s.Endpoints = slices.Clone(s.Endpoints)
			e := &s.Endpoints[r.IntN(len(s.Endpoints))]
			switch r.IntN(5) {
			case 0:
				e.Addr = netip.AddrFrom4([4]byte{10, 200, byte(r.IntN(4)), byte(r.IntN(250))})
			case 1:
				e.Ready, e.Serving, e.Terminating = !e.Ready, true, e.Ready
			case 2:
				e.Node = objects.NameOf(fmt.Sprint("node-", r.IntN(3)))
			case 3:
				s.Endpoints = s.Endpoints[:len(s.Endpoints)-1]
			case 4:
				if e.ForZones = (objects.Names{}); r.IntN(4) == 0 {
					e.ForZones = objects.NamesOf("zone-a")
				}
			}
			all.slices[i] = &s
			o.store.Update(func(tx *store.Tx) { tx.SetSlice(&s) })
		}
		if _, err := o.sync(); err != nil {
			t.Fatal(err)
		}
		if round%6 < 5 {
			continue
		}
		scratch := newInterleaved(t, cfg)
		scratch.store = o.store
		scratch.begin()
		scratch.p.desired.inKernel = o.p.desired.state.Owner
		if _, err := scratch.sync(); err != nil {
			t.Fatal(err)
		}
		o.compare(t, scratch)
		scratch.close()
	}
}

// BenchmarkLargeService replaces an endpoint of a Service, without a kernel.
func BenchmarkLargeService(b *testing.B) {
	for _, n := range []int{100, 1000, 65_000} {
		b.Run(fmt.Sprint("endpoints=", n), func(b *testing.B) {
			st := store.New()
			cfg := testConfig()
			d := newDesired(&cfg, st)
			all := largeService(n)
			write := func() {
				for more := true; more; more = d.more() {
					d.update()
					for step := d.state.Next(0); step != nil; step = d.state.Next(0) {
						d.state.Acked(step)
						d.state.Recycle(step)
					}
				}
			}
			st.Update(all.put)
			write()
			one := all.slices[len(all.slices)/2]
			other := *one
			other.Endpoints = slices.Clone(one.Endpoints)
			other.Endpoints[50].Addr = netip.MustParseAddr("10.200.0.1")
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				s := []objects.Slice{other, *one}[i%2]
				st.Update(func(tx *store.Tx) { tx.SetSlice(&s) })
				write()
			}
		})
	}
}
