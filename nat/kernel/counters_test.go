// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairlead/internal/inet"
	"fairlead/internal/nstest"
	"fairlead/nat"
	"fairlead/nat/kernel"
	"fairlead/nat/nattest"
	"fairlead/nat/plan"
	"fairlead/nat/ruleset"
)

// TestCountersListing commits one frontend of every shape with counters, finds
// them in nft's words, and finds nothing to do after a restart.
func TestCountersListing(t *testing.T) {
	ns := nstest.New(t)
	table := open(t, ns)
	s := plan.NewState()
	s.Configure(nattest.CountingSettings())
	nattest.Variety(s)
	settle(t, s, table)
	listing := list(t, ns)
	if diff := cmp.Diff(nattest.Blocks(s.Text()), nattest.Blocks(listing)); diff != "" {
		t.Errorf("nft lists the table differently (-text +nft):\n%s", diff)
	}
	// That of dropped packets is followed by a verdict.
	if got, want := strings.Count(listing, " counter packets 0 bytes 0 comment"), 13; got != want {
		t.Errorf("%d counters, want %d, one for each backend of each frontend:\n%s", got, want, listing)
	}
	restart(t, table, nattest.CountingSettings())
}

// restart reads the table into a new State, which must find nothing to do.
func restart(t *testing.T, table *kernel.Table, set nat.Settings) {
	t.Helper()
	again := plan.NewState()
	again.Configure(set)
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

// TestCountersSwitch switches counters on and off, live and by a restart, and
// repairs elements that somebody replaced by others of the wrong kind.
func TestCountersSwitch(t *testing.T) {
	ns := nstest.New(t)
	table := open(t, ns)
	s := plan.NewState()
	nattest.Variety(s)
	on, off := nattest.CountingSettings(), nattest.Settings()
	adopt := func(*plan.State) {
		t.Helper()
		found, err := table.Load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		s.Adopt(found)
	}
	nothing := func(*plan.State) {}
	meddle := func(counter bool) func(*plan.State) {
		return func(s *plan.State) {
			e := ruleset.Element{Set: ruleset.Set{Kind: ruleset.Backends, Family: inet.IPv4}, Key: nattest.Addr("10.96.0.10:53", inet.UDP), Slot: 1,
				Data: netip.MustParseAddrPort("10.244.1.7:53"), Comment: "kube-system/kube-dns:dns", Counter: counter}
			if err := table.Commit(t.Context(), ruleset.Batch{{Verb: ruleset.DeleteElement, Element: e}, {Verb: ruleset.AddElement, Element: e}}); err != nil {
				t.Fatal(err)
			}
			adopt(s)
		}
	}
	for _, step := range []struct {
		name string
		set  nat.Settings
		then func(*plan.State)
	}{
		{"off", off, nothing}, {"on", on, nothing}, {"off again", off, nothing},
		{"on at a restart", on, adopt}, {"off at a restart", off, adopt},
		{"one has a counter", off, meddle(true)}, {"on", on, nothing}, {"one has none", on, meddle(false)},
	} {
		s.Configure(step.set)
		step.then(s)
		settle(t, s, table)
		if diff := cmp.Diff(nattest.Blocks(s.Text()), nattest.Blocks(list(t, ns))); diff != "" {
			t.Errorf("%s (-text +nft):\n%s", step.name, diff)
		}
		restart(t, table, step.set)
	}
}

// TestCountersBatches switches a frontend of many backends in many batches,
// none of which takes a backend without giving it back in its place, and
// changes its mind half way.
func TestCountersBatches(t *testing.T) {
	ns := nstest.New(t)
	table := open(t, ns)
	s := plan.NewState()
	s.Configure(nattest.Settings())
	key := nattest.Addr("10.96.0.1:80", inet.TCP)
	f := nat.Frontend{Policy: nat.Local, Owner: "default/large", Backends: nattest.Pods(100)}
	for _, b := range f.Backends[:20] {
		f.LocalBackends = append(f.LocalBackends, b.AddrPort())
	}
	s.Set(key, f)
	settle(t, s, table)
	whole := nattest.Blocks(list(t, ns))

	step := func(limit int) bool {
		t.Helper()
		b := s.Next(limit)
		if b == nil {
			return false
		}
		if diff := cmp.Diff(places(b.Batch, ruleset.DeleteElement), places(b.Batch, ruleset.AddElement)); diff != "" {
			t.Errorf("backends are not replaced where they are (-deleted +added):\n%s", diff)
		}
		if err := table.Commit(t.Context(), b.Batch); err != nil {
			t.Fatal(err)
		}
		s.Acked(b)
		return true
	}
	for _, turns := range []int{1, 3, 5} {
		s.Configure(nattest.CountingSettings())
		for range turns {
			step(50)
		}
		s.Configure(nattest.Settings())
		for step(40) {
		}
		if n := strings.Count(list(t, ns), "counter packets 0 bytes 0 comment"); n != 0 {
			t.Errorf("after %d batches and back there are %d counters", turns, n)
		}
		if diff := cmp.Diff(whole, nattest.Blocks(list(t, ns))); diff != "" {
			t.Errorf("backends have other slots (-before +after):\n%s", diff)
		}
	}
	s.Configure(nattest.CountingSettings())
	for range 4 {
		step(50)
	}
	step(10) // into the locals
	s.Delete(key)
	part := s.Next(50) // part of the frontend goes, then it comes back
	if err := table.Commit(t.Context(), part.Batch); err != nil {
		t.Fatal(err)
	}
	s.Acked(part)
	s.Set(key, f)
	settle(t, s, table)
	if n := strings.Count(list(t, ns), "counter packets 0 bytes 0 comment"); n != 120 {
		t.Errorf("%d counters, want 120", n)
	}
	if diff := cmp.Diff(nattest.Blocks(s.Text()), nattest.Blocks(list(t, ns))); diff != "" {
		t.Errorf("(-text +nft):\n%s", diff)
	}
}

// places returns which backends an operation puts at which places.
func places(b ruleset.Batch, verb ruleset.Verb) []string {
	out := []string{}
	for i := range b {
		if e := &b[i].Element; b[i].Verb == verb && e.Set.IsSlots() {
			out = append(out, fmt.Sprint(e.Set, e.Key, e.Slot, e.Data))
		}
	}
	return out
}

// TestCountersOff: a State whose settings do not ask for counters plans none.
func TestCountersOff(t *testing.T) {
	s := plan.NewState()
	s.Configure(nattest.Settings())
	nattest.Variety(s)
	for b := s.Next(0); b != nil; b = s.Next(0) {
		if strings.Contains(b.String(), "counter") {
			t.Errorf("a batch with counters:\n%s", b)
		}
		s.Acked(b)
	}
}

// TestCountersNone: there is nothing to read without a table, and without
// counters.
func TestCountersNone(t *testing.T) {
	table := open(t, nstest.New(t))
	s := plan.NewState()
	s.Configure(nattest.Settings())
	nattest.Variety(s)
	for _, what := range []string{"no table", "no counters"} {
		got, err := table.BackendCounters(t.Context())
		if err != nil || len(got) != 0 {
			t.Errorf("%s: %v, %v", what, got, err)
		}
		settle(t, s, table)
	}
}

// TestCountersBeside reads counters while batches are committed, as fast as
// the kernel takes them: backends that stay are found, once, but for the few that
// BackendCounters allows for.
func TestCountersBeside(t *testing.T) {
	table := open(t, nstest.New(t))
	s := plan.NewState()
	s.Configure(nattest.CountingSettings())
	key, other := nattest.Addr("10.96.0.1:80", inet.TCP), nattest.Addr("10.96.0.2:80", inet.TCP)
	s.Set(key, nat.Frontend{Policy: nat.Internal, Owner: "default/stays", Backends: nattest.Pods(2000)})
	settle(t, s, table)
	done := make(chan error)
	go func() { done <- readCounters(t.Context(), table, key, 2000) }()
	for i := 1; ; i++ {
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
			return
		default:
		}
		s.Set(other, nat.Frontend{Policy: nat.Internal, Owner: "default/changes", Backends: nattest.Pods(1 + i%3)})
		settle(t, s, table)
	}
}

// readCounters expects about that many counters of a frontend, 10 times.
func readCounters(ctx context.Context, table *kernel.Table, key inet.Addr, want int) error {
	for range 10 {
		all, err := table.BackendCounters(ctx)
		if err != nil {
			return err
		}
		n := 0
		for _, c := range all {
			if c.Frontend == key {
				n++
			}
		}
		if n > want || n < want-want/100 {
			return fmt.Errorf("%d counters, want %d, or a few less", n, want)
		}
	}
	return nil
}
