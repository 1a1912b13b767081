// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairlead/nat"
	"fairlead/nat/nattest"
)

// TestPrepare prepares large frontends while others, the same ones and the ranges of pods change
// in the pauses. In the end each element of the shared sets is counted as often as in a State
// that was told the outcome only.
func TestPrepare(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	all := outsidePods(6000)
	for i := range all {
		all[i].OnNode = i%7 == 0
	}
	random := func() nat.Frontend {
		from := r.IntN(len(all))
		return nat.Frontend{Policy: nat.External, Exclusive: r.IntN(2) == 0, Owner: "evil/web", Backends: all[from : from+r.IntN(len(all)-from)]}
	}
	used, undone := 0, 0
	for range 60 {
		s := NewState()
		set := nattest.Settings()
		s.Configure(set)
		var change func(depth int)
		change = func(depth int) {
			key := laneKey(r.IntN(4))
			switch r.IntN(8) {
			case 0:
				set.Cluster = []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 18, byte(r.IntN(32)), 0}), 17+r.IntN(8)).Masked()}
				s.Configure(set)
			case 1:
				s.Delete(key)
			default:
				f := random()
				s.Prepare(key, f, func(int) {
					if depth < 2 && r.IntN(6) == 0 {
						change(depth + 1)
					}
				})
				if x := s.prepared[key]; x != nil && x.done && isSame(x.cluster, s.cluster) {
					used++
				} else {
					undone++
				}
				s.Set(key, f)
			}
			if r.IntN(4) == 0 {
				s.Leave(mostAtOnce)
			}
		}
		for range 10 {
			change(0)
		}
		for s.Leaving() {
			s.Leave(1)
		}
		want := NewState()
		want.Configure(set)
		for key, f := range s.want {
			want.Set(key, f)
		}
		if diff := cmp.Diff(counts(want), counts(s)); diff != "" || len(s.prepared) > 0 {
			t.Fatalf("%d are prepared, counts (-whole +prepared):\n%.2000s", len(s.prepared), diff)
		}
	}
	if used < 50 || undone < 50 {
		t.Errorf("%d were used and %d undone", used, undone)
	}
}

// counts returns how many frontends want each element of the shared sets.
func counts(s *State) map[string]int32 {
	out := map[string]int32{}
	for m, st := range s.members.all.each() {
		if st.want != 0 {
			e := s.members.element(&m)
			out[e.Set.String()+" "+e.String()] = st.want
		}
	}
	return out
}

// TestPrepareBounded: what is done at once for a frontend of 65,535 backends does not grow with
// their number, when it comes, when it is replaced and when it goes.
func TestPrepareBounded(t *testing.T) {
	s := manyFrontends(1)
	order(t, s, nil)
	key := evilAddr(0)
	fronts := []nat.Frontend{
		{Policy: nat.External, Owner: "evil/web", Backends: outsidePods(65_535)},
		{Policy: nat.External, Owner: "evil/web", Backends: outsidePods(65_535)[60_000:]},
	}
	counted := func() (n int32) {
		for _, st := range s.members.all.each() {
			n += st.want
		}
		return n
	}
	at := counted()
	check := func(what string) {
		now := counted()
		if d := now - at; d > mostAtOnce || d < -mostAtOnce {
			t.Fatalf("%s changed %d counts at once", what, d)
		}
		at = now
	}
	for _, f := range fronts {
		s.Prepare(key, f, func(int) { check("Prepare") })
		check("Prepare")
		s.Set(key, f)
		check("Set")
	}
	s.Delete(key)
	check("Delete")
	leaves := 0
	for s.Leaving() {
		s.Leave(1)
		check("Leave")
		leaves++
	}
	if leaves < 60 {
		t.Errorf("Leave was called %d times only", leaves)
	}
}
