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
		p := pack(s)
		if got := p.unpack(); !reflect.DeepEqual(got, s) {
			t.Fatalf("%+v became %+v", s, got)
		}
		was := *last
		was.Changed = s.Changed
		want := reflect.DeepEqual(&was, s)
		if pack(last).same(p) != want {
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
