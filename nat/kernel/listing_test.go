// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel_test

import (
	"bytes"
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

type textBuffer = bytes.Buffer

// TestListing commits one frontend of every shape and compares what nft lists
// with our own text of it.
func TestListing(t *testing.T) {
	ns, _, s := ofVariety(t)

	want, got := nattest.Blocks(s.Text()), nattest.Blocks(list(t, ns))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("nft lists the table differently (-text +nft):\n%s", diff)
	}
}

// TestRestart reads the table back into a new State, which finds nothing to do.
func TestRestart(t *testing.T) {
	_, table, _ := ofVariety(t)

	again := plan.NewState()
	again.Configure(nattest.Settings())
	nattest.Variety(again)
	found, err := table.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	again.Adopt(found)
	if b := again.Next(0); b != nil && len(b.Batch) > 0 {
		t.Errorf("after a restart there is something to do:\n%s", b)
	}
}

// TestLargeFrontend is a Service of 5,000 endpoints: many batches, a class of
// 8,192, and chains that the kernel agrees to follow.
func TestLargeFrontend(t *testing.T) {
	ns := nstest.New(t)
	table := open(t, ns)
	s := plan.NewState()
	s.Configure(nattest.Settings())
	key := nattest.Addr("10.96.0.1:80", inet.TCP)
	s.Set(key, nat.Frontend{Policy: nat.Internal, Exclusive: true, Owner: "default/large", Backends: nattest.Pods(5000)})
	if n := settle(t, s, table); n < 2 {
		t.Errorf("%d batches, want several", n)
	}
	listing := list(t, ns)
	if n := strings.Count(listing, "default/large"); n != 5001 {
		t.Errorf("nft lists %d elements, want 5001", n)
	}
	if !strings.Contains(listing, "goto cluster4-8192") {
		t.Error("the frontend is not in class 8192")
	}
	s.Set(key, nat.Frontend{Policy: nat.Internal, Exclusive: true, Owner: "default/large", Backends: nattest.Pods(4999)})
	if b := s.Next(0); len(b.Batch) != 1 {
		t.Errorf("one endpoint less takes %d operations, want 1:\n%s", len(b.Batch), b)
	}
	settle(t, s, table)
	s.Delete(key)
	settle(t, s, table)
	if diff := cmp.Diff(nattest.Blocks(s.Text()), nattest.Blocks(list(t, ns))); diff != "" {
		t.Errorf("after it is gone (-text +nft):\n%s", diff)
	}
}

// TestRememberOnDemand: the chains that see every packet for the sake of sticky
// clients come with the first sticky frontend and go with the last.
func TestRememberOnDemand(t *testing.T) {
	ns := nstest.New(t)
	table := open(t, ns)
	s := plan.NewState()
	s.Configure(nattest.Settings())
	key, other := nattest.Addr("10.96.0.1:80", inet.TCP), nattest.Addr("10.96.0.2:80", inet.TCP)
	plain := nat.Frontend{Policy: nat.Internal, Owner: "d/web", Backends: nattest.Pods(2)}
	sticky := plain
	sticky.Affinity = time.Minute
	expect := func(what string, want bool) {
		t.Helper()
		settle(t, s, table)
		listing := list(t, ns)
		if got := strings.Contains(listing, "chain remember"); got != want {
			t.Errorf("%s: chains that remember: %v, want %v", what, got, want)
		}
		if diff := cmp.Diff(nattest.Blocks(s.Text()), nattest.Blocks(listing)); diff != "" {
			t.Errorf("%s (-text +nft):\n%s", what, diff)
		}
	}
	s.Set(key, plain)
	expect("nobody is sticky", false)
	s.Set(key, sticky)
	s.Set(other, sticky)
	expect("two are", true)
	s.Set(key, plain)
	expect("one is", true)
	s.Delete(other)
	expect("the last is gone", false)
	s.Set(key, sticky)
	expect("again", true)
	found, err := table.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.Adopt(found)
	if b := s.Next(0); b != nil && len(b.Batch) > 0 {
		t.Errorf("after a restart there is something to do:\n%s", b)
	}
}
