// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fairlead/internal/inet"
	"fairlead/internal/nstest"
	"fairlead/nat"
	"fairlead/nat/nattest"
	"fairlead/nat/plan"
)

func restricted(sources ...netip.Prefix) nat.Frontend {
	return nat.Frontend{Policy: nat.External, Owner: "d/web", Restricted: true, Sources: sources, Backends: nattest.Pods(1)}
}

// TestSourcesOnDemand has sets of source ranges come with the first range of a prefix
// length and go with the last. nft lists each of them, and reads it back.
func TestSourcesOnDemand(t *testing.T) {
	ns := nstest.New(t)
	table := open(t, ns)
	s := plan.NewState()
	s.Configure(nattest.Settings())
	expect := func(what string, sets int) {
		t.Helper()
		settle(t, s, table)
		listing := list(t, ns)
		if diff := cmp.Diff(nattest.Blocks(s.Text()), nattest.Blocks(listing)); diff != "" {
			t.Fatalf("%s (-text +nft):\n%s", what, diff)
		}
		if got := strings.Count(listing, "set sources"); got != sets {
			t.Errorf("%s: %d sets, want %d", what, got, sets)
		}
		found, err := table.Load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		s.Adopt(found)
		if b := s.Next(0); b != nil && len(b.Batch) > 0 {
			t.Errorf("%s: after a restart there is something to do:\n%s", what, b)
		}
	}
	expect("none", 0)
	key := nattest.Addr("203.0.113.5:80", inet.TCP)
	for bits := range 33 {
		s.Set(nattest.Addr(fmt.Sprintf("203.0.113.9:%d", bits+1), inet.TCP), restricted(netip.PrefixFrom(netip.MustParseAddr("255.255.255.255"), bits)))
	}
	for bits := range 129 {
		f := restricted(netip.PrefixFrom(netip.MustParseAddr("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), bits))
		f.Backends = nattest.Backends("[fd00::1]:80")
		s.Set(nattest.Addr(fmt.Sprintf("[2001:db8::1]:%d", bits+1), inet.TCP), f)
	}
	expect("every length but 0, which restricts nothing", 32+128)
	for bits := range 33 {
		s.Delete(nattest.Addr(fmt.Sprintf("203.0.113.9:%d", bits+1), inet.TCP))
	}
	for bits := range 129 {
		s.Delete(nattest.Addr(fmt.Sprintf("[2001:db8::1]:%d", bits+1), inet.TCP))
	}
	s.Set(key, restricted(nattest.Prefixes("192.0.2.0/24", "198.51.100.0/28")...))
	expect("two lengths", 2)
	s.Set(key, restricted(nattest.Prefixes("192.0.2.0/25", "198.51.100.0/28")...))
	expect("another one", 2)
	s.Set(key, restricted())
	expect("nobody", 0)
}

// TestSourcesCost changes one range of a frontend that has 5,000, and an endpoint of
// another frontend: each takes as many operations as there are changes.
func TestSourcesCost(t *testing.T) {
	ns := nstest.New(t)
	table := open(t, ns)
	s := plan.NewState()
	s.Configure(nattest.Settings())
	var many []netip.Prefix
	for i := range 5000 {
		many = append(many, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 7), byte(i << 1), 0}), 24))
	}
	key, other := nattest.Addr("203.0.113.5:80", inet.TCP), nattest.Addr("10.96.0.1:80", inet.TCP)
	s.Set(key, restricted(many...))
	s.Set(other, nat.Frontend{Policy: nat.Internal, Owner: "d/other", Backends: nattest.Pods(2)})
	settle(t, s, table)
	for _, step := range []struct {
		name string
		ops  int
		do   func()
	}{
		{"one range less", 1, func() { s.Set(key, restricted(many[1:]...)) }},
		{"one more", 1, func() { s.Set(key, restricted(many...)) }},
		{"an endpoint elsewhere", 1, func() {
			s.Set(other, nat.Frontend{Policy: nat.Internal, Owner: "d/other", Backends: nattest.Pods(1)})
		}},
	} {
		step.do()
		b := s.Next(0)
		if b == nil || len(b.Batch) != step.ops {
			t.Errorf("%s takes %d operations, want %d:\n%s", step.name, len(b.Batch), step.ops, b)
		}
		begin := time.Now()
		settle(t, s, table)
		t.Logf("%s: %v", step.name, time.Since(begin))
	}
}
