// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel_test

import (
	"context"
	"fmt"
	"slices"
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

// meddle carries out each nft command in turn, 1,000 times a second, until the test ends.
// A command is a transaction; one that fails does no harm.
func meddle(t testing.TB, ns *netns.NS, commands ...string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cmd := nstest.Command(t, ns, "nft", "-i")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-ctx.Done():
			case <-tick.C:
				if _, err := fmt.Fprintln(in, commands[i%len(commands)]); err == nil {
					continue
				}
			}
			_ = in.Close()
			_ = cmd.Wait()
			return
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
}

// busyBackends are the endpoints of a Service. With 2,000 Services the kernel lists them in a
// hundred parts.
const busyBackends = 10

// TestLoadBusy reads the table while another program writes. Each part of a listing comes
// with a mark that something changed, and what did not change is read once and whole.
func TestLoadBusy(t *testing.T) {
	for _, tt := range []struct {
		name     string
		commands []string
	}{
		{"another table", []string{"add table ip other", "delete table ip other"}},
		{"elements", churn("add", "delete", 200)},
		{"rules", []string{"add rule inet fairlead services counter", "flush chain inet fairlead other", "add chain inet fairlead other"}},
	} {
		t.Run(strings.ReplaceAll(tt.name, " ", "-"), func(t *testing.T) {
			ns := nstest.New(t)
			table := open(t, ns)
			services := nstest.Size(2000, 400)
			settle(t, fillState(services, busyBackends), table)
			want := ours(t, table)
			if len(want) < services*busyBackends {
				t.Fatalf("%d elements", len(want))
			}
			meddle(t, ns, tt.commands...)
			start, before := time.Now(), table.Generation(t)
			for n := 0; n < 5 || table.Generation(t)-before < 50; n++ {
				if diff := cmp.Diff(want, ours(t, table)); diff != "" {
					t.Fatalf("elements that nobody changed (-want +got):\n%s", diff)
				}
				if time.Since(start) > 2*time.Minute {
					t.Fatalf("only %d transactions of the other program", table.Generation(t)-before)
				}
			}
		})
	}
}

// churn adds and deletes n elements that no Service has.
func churn(add, del string, n int) []string {
	var out []string
	for _, verb := range []string{add, del} {
		for i := range n {
			line := fmt.Sprintf("%s element inet fairlead backends4 { 172.16.0.1 . tcp . 80 . %d ", verb, i)
			if verb == add {
				line += ": 10.0.0.1 . 80 "
			}
			out = append(out, line+"}")
		}
	}
	return out
}

// ours loads the table and returns the elements of Services, sorted.
func ours(t testing.TB, table *kernel.Table) []string {
	t.Helper()
	found, err := table.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for e := range found.Elements.All() {
		if e.Key.IP.Is4() && e.Key.IP.As4()[0] == 10 {
			out = append(out, e.Set.String()+" "+e.String())
		}
	}
	slices.Sort(out)
	return out
}

// TestAffinityBusy searches, lists, counts and copies the entries of an affinity map while
// another program writes.
func TestAffinityBusy(t *testing.T) {
	ns := nstest.New(t)
	table := open(t, ns)
	s := plan.NewState()
	s.Configure(nattest.Settings())
	pods := nattest.Pods(2)
	vip := nattest.Addr("10.96.0.1:80", inet.TCP)
	rare := nattest.Addr("10.96.0.2:80", inet.TCP)
	for _, key := range []inet.Addr{vip, rare} {
		s.Set(key, nat.Frontend{Policy: nat.Internal, Owner: "d/web", Affinity: time.Hour, Backends: pods})
	}
	settle(t, s, table)
	clients, carried := nstest.Size(20_000, 4000), 1000 // half of each with each of two backends
	set := ruleset.AffinityOf(vip, false, 0)
	for from := 0; from < clients; from += 500 {
		var list strings.Builder
		for i := from; i < from+500; i++ {
			p := pods[i%2].AddrPort()
			frontend := 1 + (i/2%(clients/carried)+1)/(clients/carried)
			fmt.Fprintf(&list, "10.96.0.%d . tcp . 80 . 192.0.%d.%d timeout 1h : %s . %d,", frontend, i/250, i%250, p.Addr(), p.Port())
		}
		nftCommand(t, ns, "add element inet fairlead "+set.String()+" { "+list.String()+" }")
	}
	meddle(t, ns, churn("add", "delete", 200)...)
	entries, err := table.LoadEntries(t.Context(), set)
	if err != nil || len(entries) != clients {
		t.Errorf("LoadEntries: %d clients, want %d: %v", len(entries), clients, err)
	}
	maps, err := kernel.AffinityMaps(ns)
	if err != nil || len(maps) == 0 {
		t.Errorf("AffinityMaps: %v, %v", maps, err)
	}
	shared := set
	shared.Number = 1
	if err := table.Commit(t.Context(), ruleset.Batch{
		{Verb: ruleset.AddSet, Set: shared},
		{Verb: ruleset.CarryClients, Element: ruleset.Element{Set: set, Key: rare}, Set: shared},
	}); err != nil {
		t.Fatal(err)
	}
	if entries, err = table.LoadEntries(t.Context(), shared); err != nil || len(entries) != carried {
		t.Errorf("CarryClients: %d clients, want %d: %v", len(entries), carried, err)
	}
	cleaner := kernel.NewAffinityCleaner(ns)
	cleaner.Remove([]nat.Pair{{Frontend: vip, Backend: pods[1].AddrPort()}})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	removed := 0
	if err := cleaner.Run(ctx, func(n int, err error) {
		if removed += n; err != nil {
			t.Error(err)
		}
		cancel()
	}); err != nil {
		t.Error(err)
	}
	if entries, err = table.LoadEntries(t.Context(), set); err != nil || len(entries) != clients-removed || removed != (clients-carried)/2 {
		t.Errorf("AffinityCleaner: %d clients removed and %d left, want %d of %d: %v", removed, len(entries), (clients-carried)/2, clients, err)
	}
}
