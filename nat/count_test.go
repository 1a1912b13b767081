// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nat

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairlead/internal/inet"
	"fairlead/internal/nstest"
)

func countingSettings() Settings {
	set := testSettings()
	set.BackendCounters = true
	return set
}

// TestCountersListing commits one frontend of every shape with counters, finds
// them in nft's words, and finds nothing to do after a restart.
func TestCountersListing(t *testing.T) {
	ns := nstest.New(t)
	table := open(t, ns)
	s := NewState()
	s.Configure(countingSettings())
	variety(s)
	settle(t, s, table)
	listing := list(t, ns)
	if diff := cmp.Diff(sorted(s.Text()), sorted(listing)); diff != "" {
		t.Errorf("nft lists the table differently (-text +nft):\n%s", diff)
	}
	if got, want := strings.Count(listing, " counter packets 0 bytes 0 "), 13; got != want {
		t.Errorf("%d counters, want %d, one for each backend of each frontend:\n%s", got, want, listing)
	}
	restart(t, table, countingSettings())
}

// restart reads the table into a new State, which must find nothing to do.
func restart(t *testing.T, table *Table, set Settings) {
	t.Helper()
	again := NewState()
	again.Configure(set)
	variety(again)
	found, err := table.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	again.Adopt(found)
	if b := again.Next(0); b != nil && b.Len() > 0 {
		t.Errorf("after a restart there is something to do:\n%s", b)
	}
}

// TestCountersSwitch switches counters on and off, live and by a restart, and
// repairs elements that somebody replaced by others of the wrong kind.
func TestCountersSwitch(t *testing.T) {
	ns := nstest.New(t)
	table := open(t, ns)
	s := NewState()
	variety(s)
	on, off := countingSettings(), testSettings()
	adopt := func(*State) {
		t.Helper()
		found, err := table.Load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		s.Adopt(found)
	}
	nothing := func(*State) {}
	meddle := func(counter bool) func(*State) {
		return func(s *State) {
			e := element{set: setID{kBackends, inet.IPv4}, key: addr("10.96.0.10:53", inet.UDP), slot: 1,
				data: netip.MustParseAddrPort("10.244.1.7:53"), comment: "kube-system/kube-dns:dns", counter: counter}
			if err := table.Commit(t.Context(), &Batch{dels: []element{e}, adds: []element{e}}); err != nil {
				t.Fatal(err)
			}
			adopt(s)
		}
	}
	for _, step := range []struct {
		name string
		set  Settings
		then func(*State)
	}{
		{"off", off, nothing}, {"on", on, nothing}, {"off again", off, nothing},
		{"on at a restart", on, adopt}, {"off at a restart", off, adopt},
		{"one has a counter", off, meddle(true)}, {"on", on, nothing}, {"one has none", on, meddle(false)},
	} {
		s.Configure(step.set)
		step.then(s)
		settle(t, s, table)
		if diff := cmp.Diff(sorted(s.Text()), sorted(list(t, ns))); diff != "" {
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
	s := NewState()
	s.Configure(testSettings())
	key := addr("10.96.0.1:80", inet.TCP)
	f := Frontend{Policy: Local, Owner: "default/large", Backends: pods(100)}
	for _, b := range f.Backends[:20] {
		f.LocalBackends = append(f.LocalBackends, b.AddrPort)
	}
	s.Set(key, f)
	settle(t, s, table)
	whole := *s.have.frontends[key]

	step := func(limit int) bool {
		t.Helper()
		b := s.Next(limit)
		if b == nil {
			return false
		}
		if diff := cmp.Diff(places(b.dels), places(b.adds)); diff != "" {
			t.Errorf("backends are not replaced where they are (-deleted +added):\n%s", diff)
		}
		if err := table.Commit(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		s.Acked(b)
		return true
	}
	for _, turns := range []int{1, 3, 5} {
		s.Configure(countingSettings())
		for range turns {
			step(50)
		}
		s.Configure(testSettings())
		for step(40) {
		}
		if n := strings.Count(list(t, ns), "counter"); n != 0 {
			t.Errorf("after %d batches and back there are %d counters", turns, n)
		}
		if diff := cmp.Diff(whole.slots, s.have.frontends[key].slots, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
			t.Errorf("backends have other slots (-before +after):\n%s", diff)
		}
	}
	s.Configure(countingSettings())
	for range 4 {
		step(50)
	}
	step(10) // into the locals
	s.Delete(key)
	part := s.Next(50) // part of the frontend goes, then it comes back
	if err := table.Commit(t.Context(), part); err != nil {
		t.Fatal(err)
	}
	s.Acked(part)
	s.Set(key, f)
	settle(t, s, table)
	if n := strings.Count(list(t, ns), "counter packets"); n != 120 {
		t.Errorf("%d counters, want 120", n)
	}
	if diff := cmp.Diff(sorted(s.Text()), sorted(list(t, ns))); diff != "" {
		t.Errorf("(-text +nft):\n%s", diff)
	}
}

// places tells which backends are at which places.
func places(es []element) []string {
	out := []string{}
	for i := range es {
		if es[i].set.isSlots() {
			out = append(out, fmt.Sprint(es[i].set, es[i].key, es[i].slot, es[i].data))
		}
	}
	return out
}

// TestCountersOff: a State whose settings do not ask for counters plans none, in
// batches that are sent as ever.
func TestCountersOff(t *testing.T) {
	s := NewState()
	s.Configure(testSettings())
	variety(s)
	for b := s.Next(0); b != nil; b = s.Next(0) {
		if b.isRaw() || strings.Contains(b.String(), "counter") {
			t.Errorf("a batch with counters:\n%s", b)
		}
		s.Acked(b)
	}
}

// TestCountersNone: there is nothing to read without a table, and without
// counters.
func TestCountersNone(t *testing.T) {
	table := open(t, nstest.New(t))
	s := NewState()
	s.Configure(testSettings())
	variety(s)
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
	s := NewState()
	s.Configure(countingSettings())
	key, other := addr("10.96.0.1:80", inet.TCP), addr("10.96.0.2:80", inet.TCP)
	s.Set(key, Frontend{Policy: Internal, Owner: "default/stays", Backends: pods(2000)})
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
		s.Set(other, Frontend{Policy: Internal, Owner: "default/changes", Backends: pods(1 + i%3)})
		settle(t, s, table)
	}
}

// readCounters expects about that many counters of a frontend, 10 times.
func readCounters(ctx context.Context, table *Table, key inet.Addr, want int) error {
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
