// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fairlead/internal/inet"
	"fairlead/internal/netns"
	"fairlead/internal/nstest"
	"fairlead/nat"
	"fairlead/nat/kernel"
	"fairlead/nat/nattest"
	"fairlead/nat/plan"
	"fairlead/nat/ruleset"
)

// remembered lists the clients in an affinity map, as "client backend".
func remembered(t testing.TB, table *kernel.Table, set ruleset.Set) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	for _, e := range table.Elements(t, set) {
		out[fmt.Sprintf("%s %s %s", e.Key, e.Client.Addr(), e.Data)] = true
	}
	return out
}

// visit makes the table remember a client, as a packet would.
func visit(t testing.TB, ns *netns.NS, set, key, client, backend string) {
	t.Helper()
	b := netip.MustParseAddrPort(backend)
	nftCommand(t, ns, fmt.Sprintf("add element inet fairlead %s { %s . %s timeout 1h : %s . %d }", set, key, client, b.Addr(), b.Port()))
}

func TestForgetter(t *testing.T) {
	ns := nstest.New(t)
	table := open(t, ns)
	s := plan.NewState()
	s.Configure(nattest.Settings())
	vip, node := nattest.Addr("10.96.0.1:80", inet.TCP), nattest.Addr("[::]:30080", inet.TCP)
	web := nat.Frontend{Policy: nat.Internal, Owner: "d/web", Affinity: time.Hour, Backends: nattest.Pods(3)}
	web6 := nat.Frontend{Policy: nat.External, Owner: "d/web", Affinity: time.Hour, Backends: nattest.Backends("[fd00::1]:80", "[fd00::2]:80")}
	s.Set(vip, web)
	s.Set(node, web6)
	settle(t, s, table)
	p := nattest.Pods(3)
	const key = "10.96.0.1 . tcp . 80"
	for i := range 3 {
		visit(t, ns, "affinity4", key, fmt.Sprintf("192.0.2.%d", i), p[i].AddrPort().String())
	}
	visit(t, ns, "affinity4", key, "192.0.2.9", "10.9.9.9:80") // of an earlier life
	visit(t, ns, "node-affinity6", "tcp . 30080", "2001:db8::1", "[fd00::1]:80")
	visit(t, ns, "node-affinity6", "tcp . 30080", "2001:db8::2", "[fd00::2]:80")

	f := kernel.NewAffinityCleaner(ns)
	ctx, cancel := context.WithCancel(t.Context())
	reports, done := make(chan int, 10), make(chan error)
	go func() {
		done <- f.Run(ctx, func(n int, err error) {
			if err != nil {
				t.Error(err)
			}
			reports <- n
		})
	}()
	expect := func(what string, n int, set ruleset.Set, want ...string) {
		t.Helper()
		if got := <-reports; got != n {
			t.Errorf("%s: %d clients forgotten, want %d", what, got, n)
		}
		left := map[string]bool{}
		for _, w := range want {
			left[w] = true
		}
		if diff := cmp.Diff(left, remembered(t, table, set)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	client := func(i int) string { return fmt.Sprintf("%s 192.0.2.%d %s", vip, i, p[i].AddrPort()) }

	f.RemoveExcept(s.Remembered())
	expect("restart", 1, ruleset.Set{Kind: ruleset.Affinity, Family: inet.IPv4}, client(0), client(1), client(2))

	web.Backends = p[1:]
	s.Set(vip, web)
	forgetAll(t, s, table, f)
	expect("a backend gone", 1, ruleset.Set{Kind: ruleset.Affinity, Family: inet.IPv4}, client(1), client(2))

	web.Affinity = 0
	s.Set(vip, web)
	forgetAll(t, s, table, f)
	expect("affinity off", 2, ruleset.Set{Kind: ruleset.Affinity, Family: inet.IPv4})

	s.Set(node, nat.Frontend{Policy: nat.Reject, Owner: "d/web"})
	forgetAll(t, s, table, f)
	expect("all backends gone", 2, ruleset.Set{Kind: ruleset.NodeAffinity, Family: inet.IPv6})

	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// forgetAll commits what is pending and has forgotten what that says.
func forgetAll(t testing.TB, s *plan.State, table *kernel.Table, f *kernel.AffinityCleaner) {
	t.Helper()
	var pairs []nat.Pair
	for b := s.Next(0); b != nil; b = s.Next(0) {
		if err := table.Commit(t.Context(), b.Batch); err != nil {
			t.Fatal(err)
		}
		s.Acked(b)
		pairs = append(pairs, b.Unstick()...)
	}
	f.Remove(pairs)
}

// TestForgetExpired lists elements of which some are gone when they are deleted.
func TestForgetExpired(t *testing.T) {
	ns := nstest.New(t)
	table := open(t, ns)
	s := plan.NewState()
	s.Configure(nattest.Settings())
	s.Set(nattest.Addr("10.96.0.1:80", inet.TCP), nat.Frontend{Policy: nat.Internal, Owner: "d/web", Affinity: time.Hour, Backends: nattest.Pods(1)})
	settle(t, s, table)
	var es ruleset.Batch
	var add strings.Builder
	for i := range 1000 {
		ip := netip.AddrFrom4([4]byte{192, 0, byte(i >> 8), byte(i)})
		es = append(es, ruleset.Op{Verb: ruleset.DeleteElement, Element: ruleset.Element{Set: ruleset.Set{Kind: ruleset.Affinity, Family: inet.IPv4}, Key: nattest.Addr("10.96.0.1:80", inet.TCP), Client: netip.PrefixFrom(ip, 32), Data: nattest.Pods(1)[0].AddrPort()}})
		if i%100 != 7 {
			fmt.Fprintf(&add, "10.96.0.1 . tcp . 80 . %s timeout 1h : %s . %d, ", ip, nattest.Pods(1)[0].Addr(), nattest.Pods(1)[0].AddrPort().Port())
		}
	}
	nftCommand(t, ns, "add element inet fairlead affinity4 { "+add.String()+" }")
	n, err := table.DeleteElements(t.Context(), es)
	if err != nil || n != 990 {
		t.Errorf("forget = %d, %v, want 990", n, err)
	}
	if left := remembered(t, table, ruleset.Set{Kind: ruleset.Affinity, Family: inet.IPv4}); len(left) > 0 {
		t.Errorf("still remembered: %v", left)
	}
}
