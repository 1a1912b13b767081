// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"fairlead/internal/inet"
	"fairlead/proxier/objects"
	"fairlead/proxier/proxiertest"
)

// randomSlice makes a slice with any number of endpoints of every kind of address.
func randomSlice(r *rand.Rand) *objects.Slice {
	s := &objects.Slice{
		Key: proxiertest.NameOf("web-1"), Service: proxiertest.NameOf("web"), UID: "u", IPv6: r.IntN(2) == 0, Changed: time.Unix(int64(r.IntN(9)), 0),
		Ports: []objects.SlicePort{{Name: "http", Proto: inet.TCP, Port: uint16(r.IntN(3))}},
	}
	addrs := []netip.Addr{
		netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("fd00::1"), netip.MustParseAddr("::ffff:10.0.0.1"), {}, netip.IPv4Unspecified(), netip.IPv6Unspecified(),
	}
	kinds := []int{2, 3, len(addrs)}[r.IntN(3)]
	for range r.IntN(4) {
		s.Endpoints = append(s.Endpoints, objects.Endpoint{
			Addr: addrs[r.IntN(kinds)], Node: objects.NameOf(fmt.Sprint("node-", r.IntN(2))), Zone: objects.NameOf([]string{"", "z"}[r.IntN(2)]),
			ForZones: objects.NamesOf([]string{"a", "b"}[:r.IntN(3)]...), ForNodes: objects.NamesOf([]string{"n"}[:r.IntN(2)]...),
			Ready: r.IntN(2) == 0, Serving: r.IntN(2) == 0, Terminating: r.IntN(2) == 0,
		})
	}
	return s
}

// TestPacked packs random slices: nothing is lost, and two are the same when they say the
// same at whatever time.
func TestPacked(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	equal, last := 0, randomSlice(r)
	for range 20_000 {
		s := randomSlice(r)
		p := pack(s, pack(last, nil))
		if !p.same(pack(s, nil)) {
			t.Fatalf("the slice before changes what %+v becomes", s)
		}
		if got := (&View{slices: []*packed{p}}).Slices(func(int) {})[0]; !reflect.DeepEqual(got, s) {
			t.Fatalf("%+v became %+v", s, got)
		}
		was := *last
		was.Changed = s.Changed
		want := reflect.DeepEqual(&was, s)
		if pack(last, nil).same(p) != want {
			t.Fatalf("the same: %v, want %v:\n%+v\n%+v", !want, want, last, s)
		}
		if want {
			equal++
		}
		last = s
	}
	if equal < 10 {
		t.Errorf("only %d pairs were equal", equal)
	}
}

// TestUnpacked: memory that is used for one Service after another holds those of the last one, whatever
// the sizes of those before, and keeps no memory for a large one.
func TestUnpacked(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	large := randomSlice(r)
	for len(large.Endpoints) <= mostUnpacked {
		large.Endpoints = append(large.Endpoints, objects.Endpoint{Addr: netip.AddrFrom4([4]byte{10, 1, byte(len(large.Endpoints) >> 8), byte(len(large.Endpoints))}), Ready: true})
	}
	var u Unpacked
	for n := range 2_000 {
		var want []*objects.Slice
		for range r.IntN(4) {
			want = append(want, randomSlice(r))
		}
		if n%100 == 50 {
			want = append(want, large)
		}
		v := View{}
		for _, s := range want {
			v.slices = append(v.slices, pack(s, nil))
		}
		paused := 0
		got := u.Slices(&v, func(n int) { paused += n })
		if len(got) != len(want) || paused != v.CountEndpoints() {
			t.Fatalf("%d slices and pauses for %d endpoints, want %d and %d", len(got), paused, len(want), v.CountEndpoints())
		}
		for i := range want {
			if !reflect.DeepEqual(got[i], want[i]) {
				t.Fatalf("Service %d: %+v became %+v", n, want[i], got[i])
			}
			if e := got[i].Endpoints; cap(e) > len(e) {
				t.Fatalf("an append to slice %d changes the next one", i)
			}
		}
	}
	if n := cap(u.endpoints); n > 2*mostUnpacked {
		t.Errorf("memory for %d endpoints is kept, want at most %d", n, mostUnpacked)
	}
}

// TestSlicesAreCopies: who reads slices cannot change the store.
func TestSlicesAreCopies(t *testing.T) {
	st := New()
	st.Update(func(tx *Tx) { tx.SetSlice(oneSlice("web-1", "web", "node-a")) })
	st.Slices(proxiertest.NameOf("web"))[0].Endpoints[0].Ready = false
	view := st.Views([]types.NamespacedName{proxiertest.NameOf("web")})[0]
	if !st.Slices(proxiertest.NameOf("web"))[0].Endpoints[0].Ready || view.CountEndpoints() != 1 {
		t.Error("a copy changed the store")
	}
}
