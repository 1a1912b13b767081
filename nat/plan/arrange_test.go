// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"math/rand/v2"
	"net/netip"
	"testing"
)

// TestArrange takes random slots and backends. Each backend has one slot, and those that
// have one below the wanted number keep it.
func TestArrange(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	for range 2000 {
		all := r.Perm(1 + r.IntN(60))
		pick := func() (out []netip.AddrPort) {
			for _, n := range r.Perm(len(all))[:r.IntN(len(all)+1)] {
				out = append(out, outsidePods(len(all))[n].AddrPort())
			}
			return out
		}
		var have []slot
		for _, b := range pick() {
			if have = append(have, slotOf(b)); r.IntN(5) == 0 {
				have = append(have, slot{})
			}
		}
		want := pick()
		to := arrange(have, &addrs{locals: want})
		got := make([]slot, len(want))
		for i := range got {
			got[i] = to.at(i)
		}
		at := map[netip.AddrPort]int{}
		for i, s := range got {
			at[s.backend()] = i
		}
		if len(got) != len(want) || len(at) != len(want) {
			t.Fatalf("%d slots and %d backends, want %d", len(got), len(at), len(want))
		}
		for _, b := range want {
			i, ok := at[b]
			if !ok {
				t.Fatalf("%s has no slot", b)
			}
			for j, s := range have[:min(len(have), len(want))] {
				if s.backend() == b && i != j {
					t.Fatalf("%s moved from slot %d to %d", b, j, i)
				}
			}
		}
	}
}

// BenchmarkArrange takes one of 65,535 backends away.
func BenchmarkArrange(b *testing.B) {
	all := outsidePods(65_535)
	var have []slot
	want := make([]netip.AddrPort, 0, len(all))
	for i := range all {
		if have = append(have, slotOf(all[i].AddrPort())); i != 777 {
			want = append(want, all[i].AddrPort())
		}
	}
	for b.Loop() {
		arrange(have, &addrs{locals: want})
	}
}
