// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"fairlead/internal/inet"
	"fairlead/nat"
	"fairlead/nat/nattest"
	"fairlead/nat/ruleset"
)

// randomRanges returns prefixes of both families, which may contain each other.
func randomRanges(r *rand.Rand) []netip.Prefix {
	var out []netip.Prefix
	for range r.IntN(6) {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(r.IntN(2)), byte(r.IntN(4)), 0}), []int{8, 15, 16, 23, 24, 32}[r.IntN(6)])
		if r.IntN(3) == 0 {
			p = netip.PrefixFrom(netip.AddrFrom16([16]byte{0xfd, 15: byte(r.IntN(4))}), []int{8, 126, 127, 128}[r.IntN(4)])
		}
		out = append(out, p.Masked())
	}
	return out
}

// TestConfigureCluster changes the ranges of the cluster at random, and frontends with them:
// the backends outside are those that a new state counts.
func TestConfigureCluster(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	outside := func(s *State) map[member]int32 {
		out := map[member]int32{}
		for m, st := range s.members.all.each() {
			if m.set.Kind == ruleset.Outside && st.want != 0 {
				out[m] = st.want
			}
		}
		return out
	}
	differed := 0
	for range 300 {
		s := NewState()
		frontends := map[inet.Addr]nat.Frontend{}
		for range 20 {
			for range 3 {
				key, v6 := nattest.Addr(fmt.Sprintf("10.96.0.%d:80", 1+r.IntN(9)), inet.TCP), r.IntN(3) == 0
				if v6 {
					key = nattest.Addr(fmt.Sprintf("[fd96::%d]:80", 1+r.IntN(9)), inet.TCP)
				}
				var f nat.Frontend
				for range r.IntN(5) {
					ip := netip.AddrFrom4([4]byte{10, byte(r.IntN(2)), byte(r.IntN(4)), byte(r.IntN(3))})
					if v6 {
						ip = netip.AddrFrom16([16]byte{0xfd, 15: byte(r.IntN(6))})
					}
					f.Backends = append(f.Backends, nat.BackendAt(netip.AddrPortFrom(ip, 80), false))
				}
				f.Policy = nat.Internal
				s.Set(key, f)
				frontends[key] = f
			}
			set := nat.Settings{Cluster: randomRanges(r)}
			before := outside(s)
			s.Configure(set)
			fresh := NewState()
			fresh.Configure(set)
			for key, f := range frontends {
				fresh.Set(key, f)
			}
			if got, want := outside(s), outside(fresh); !maps.Equal(got, want) {
				t.Fatalf("with %v outside are %v, want %v", set.Cluster, got, want)
			}
			if !maps.Equal(before, outside(s)) {
				differed++
			}
		}
	}
	if differed < 1000 {
		t.Errorf("only %d of 6000 changes concerned a backend", differed)
	}
}

// TestRanges compares functions on sorted prefixes with simple ones.
func TestRanges(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	normal := func() []netip.Prefix {
		list := randomRanges(r)
		return append(inet.Normalize(list, inet.IPv4), inet.Normalize(list, inet.IPv6)...)
	}
	for range 20_000 {
		a, b := normal(), normal()
		if got, want := lacking(a, b), without(a, b, nil); !slices.Equal(got, want) {
			t.Fatalf("%v lacks %v of %v, want %v", b, got, a, want)
		}
		one := inOne(a, b)
		for _, p := range append(slices.Clone(a), b...) {
			ip := p.Addr()
			within := func(list []netip.Prefix) bool {
				return slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(ip) })
			}
			if contains(a, ip) != within(a) || contains(one, ip) != within(one) {
				t.Fatalf("%s in %v: %v, in %v: %v", ip, a, contains(a, ip), one, contains(one, ip))
			}
			if within(a) != within(b) && !within(one) {
				t.Fatalf("%s is in one of %v and %v, and not in %v", ip, a, b, one)
			}
		}
	}
}

// BenchmarkConfigureCluster has nodes with pods join and leave: 2,000 nodes, 5,000 frontends
// with 50 backends each.
func BenchmarkConfigureCluster(b *testing.B) {
	s := NewState()
	var ranges []netip.Prefix
	for i := range 2001 {
		ranges = append(ranges, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0}), 24))
	}
	s.Configure(nat.Settings{Cluster: ranges[1:]})
	for i := range 5000 {
		f := nat.Frontend{Policy: nat.Internal}
		for j := range 50 {
			n := (i*50 + j) % (2000 * 250)
			f.Backends = append(f.Backends, nat.BackendAt(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte((1 + n/250) >> 8), byte(1 + n/250), byte(n % 250)}), 80), false))
		}
		s.Set(inet.Addr{IP: netip.AddrFrom4([4]byte{10, 96, byte(i >> 8), byte(i)}), Port: 80, Proto: inet.TCP}, f)
	}
	b.ReportAllocs()
	for b.Loop() {
		s.Configure(nat.Settings{Cluster: ranges})
		s.Configure(nat.Settings{Cluster: ranges[1:]})
	}
}
