// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fairlead/internal/nl/nltest"
	"fairlead/internal/nstest"
	"fairlead/nat"
	"fairlead/nat/kernel"
	"fairlead/nat/nattest"
	"fairlead/nat/plan"
	"fairlead/nat/ruleset"
)

// watch follows the table until the test ends. changed returns what was changed since the
// last call, once there was a change.
func watch(t testing.TB, table *kernel.Table) (changed func() nat.Scope) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	pokes, done := make(chan nat.Writer, 10000), make(chan error)
	go func() { done <- table.Watch(ctx, func(w nat.Writer) { pokes <- w }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	<-pokes // for all that was before
	return func() (all nat.Scope) {
		t.Helper()
		wait := time.After(30 * time.Second)
		for {
			select {
			case w := <-pokes:
				all |= w.Changed
				wait = time.After(100 * time.Millisecond) // an nft command is one transaction
			case <-wait:
				if all == 0 {
					t.Fatal("no change was noticed")
				}
				return all
			}
		}
	}
}

// reread adopts the elements that were named.
func reread(t testing.TB, s *plan.State, table *kernel.Table) plan.Drift {
	t.Helper()
	found, err := table.LoadNamed(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	drift, ok := s.AdoptNamed(found)
	if !ok {
		t.Fatal("the state cannot adopt single elements")
	}
	return drift
}

// known compares the state with a load of everything.
func known(t testing.TB, s *plan.State, table *kernel.Table, when string) {
	t.Helper()
	found, err := table.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if drift := s.Adopt(found); len(drift) > 0 {
		t.Errorf("%s: the kernel differs from what is known: %s", when, drift)
	}
}

// TestRepairNamed lets another program damage elements in every way. The notifications name
// them, the state learns from these elements what a load of everything would say, and the
// difference is written.
func TestRepairNamed(t *testing.T) {
	all := append(damages(), []damage{
		{"any other address", []string{"add element inet fairlead vips4 { * : drop }"}, 1, "1 element (vips4 *)"},
		{"node with a comment", []string{
			"delete element inet fairlead nodes4 { 192.168.0.2 }",
			`add element inet fairlead nodes4 { 192.168.0.2 comment "mine" }`}, 2, `2 elements (nodes4 192.168.0.2)`},
		{"cluster IP with a comment", []string{
			"delete element inet fairlead cluster-ips4 { 10.96.0.10 }",
			`add element inet fairlead cluster-ips4 { 10.96.0.10 comment "mine" }`}, 2, "2 elements (cluster-ips4 10.96.0.10)"},
		{"sticky verdict", []string{"delete element inet fairlead node-sticky4 { tcp . 30080 }"}, 0, "1 element (default/web:http 0.0.0.0:30080/tcp)"},
		{"source with a comment", []string{
			"delete element inet fairlead sources4-32 { 203.0.113.5 . tcp . 443 . 198.51.100.7 }",
			`add element inet fairlead sources4-32 { 203.0.113.5 . tcp . 443 . 198.51.100.7 comment "mine" }`}, 2, "1 element (default/web:https 203.0.113.5:443/tcp)"},
		{"source of nobody", []string{"add element inet fairlead sources4-24 { 203.0.113.9 . tcp . 443 . 198.51.100.0 }"}, 1, "1 element (203.0.113.9:443/tcp)"},
		{"source with host bits", []string{"add element inet fairlead sources4-24 { 203.0.113.5 . tcp . 443 . 198.51.100.7 }"}, 1, "1 element (default/web:https 203.0.113.5:443/tcp)"},
		{"verdict of another kind", []string{
			"delete element inet fairlead vips4 { 10.96.0.10 . udp . 53 }",
			"add element inet fairlead vips4 { 10.96.0.10 . udp . 53 : accept }"}, 2, "1 element (kube-system/kube-dns:dns 10.96.0.10:53/udp)"},
		{"range", []string{"add element inet fairlead service-cidrs4 { 192.0.2.0/25 }"}, 1, "1 element (ranges of service-cidrs4)"},
		{"no prefix", []string{"add element inet fairlead service-cidrs4 { 192.0.2.1-192.0.2.6 }"}, 0, "1 element (ranges of service-cidrs4)"},
		{"all backends", []string{"flush map inet fairlead backends4; flush map inet fairlead locals4"}, 0, "3 elements (default/outside 192.0.2.44:80/tcp)"},
		{"added and deleted", []string{
			"add element inet fairlead vips4 { 192.0.2.7 . tcp . 1 : goto refuse }",
			"delete element inet fairlead vips4 { 192.0.2.7 . tcp . 1 }"}, 0, ""},
		{"client that goes nowhere", []string{"add element inet fairlead affinity4 { 203.0.113.5 . tcp . 443 . 192.0.2.9 : 192.0.2.1 . 1 }"}, 1, "1 element (affinity4 203.0.113.5 . tcp . 443 . 192.0.2.9 : 192.0.2.1 . 1)"},
		{"client with a timeout", []string{"add element inet fairlead affinity4 { 203.0.113.5 . tcp . 443 . 192.0.2.9 timeout 1h : 192.0.2.1 . 1 }"}, 1, "1 element (affinity4 203.0.113.5 . tcp . 443 . 192.0.2.9 : 192.0.2.1 . 1 with a timeout)"},
		{"client of nobody", []string{"add element inet fairlead node-affinity6 { udp . 9 . 2001:db8::1 : 2001:db8::2 . 1 }"}, 1, "1 element (node-affinity6 udp . 9 . 2001:db8::1 : 2001:db8::2 . 1)"},
		{"clients that come and go", []string{
			"add element inet fairlead affinity4 { 203.0.113.5 . tcp . 443 . 192.0.2.9 timeout 1h : 192.0.2.1 . 1 }",
			"flush map inet fairlead affinity4"}, 0, ""},
	}...)
	tested := 0
	for _, tt := range all {
		if !slices.ContainsFunc(tt.damage, func(c string) bool {
			return strings.Contains(c, "element") || strings.HasPrefix(c, "flush set") || strings.HasPrefix(c, "flush map")
		}) {
			continue
		}
		tested++
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ns, table, s := ofVariety(t)
			before := nattest.Blocks(list(t, ns))
			changed := watch(t, table)
			for _, command := range tt.damage {
				nftCommand(t, ns, command)
			}
			if scope := changed(); scope != nat.Elements {
				if strings.HasPrefix(tt.damage[0], "flush chain") || strings.HasPrefix(tt.damage[0], "add counter") {
					return // more than elements
				}
				t.Fatalf("scope %b, want elements", scope)
			}
			if drift := reread(t, s, table).String(); drift != tt.drift {
				t.Errorf("found %q, want %q", drift, tt.drift)
			}
			if b := s.Next(0); b != nil && tt.ops > 0 && len(b.Batch) > tt.ops {
				t.Errorf("the repair takes more than %d operations:\n%v", tt.ops, b)
			}
			settle(t, s, table)
			known(t, s, table, "after the repair")
			if diff := cmp.Diff(before, nattest.Blocks(list(t, ns))); diff != "" {
				t.Errorf("after the repair (-before +after):\n%s", diff)
			}
		})
	}
	if tested < 20 {
		t.Errorf("only %d cases are about elements", tested)
	}
}

// TestNamedClients forges entries of affinity maps. Those stay that lead to a backend which the
// client may have, and of the others each is deleted by its key.
func TestNamedClients(t *testing.T) {
	ns, table, s := ofVariety(t)
	changed := watch(t, table)
	const key = "203.0.113.5 . tcp . 443"
	for _, client := range []struct{ set, client, backend string }{
		{"affinity4", "192.0.2.1", "10.244.1.3:8443"},
		{"affinity4", "192.0.2.2", "10.244.1.3:8444"},
		{"local-affinity4", "192.0.2.3", "10.244.0.3:8443"},
		{"local-affinity4", "192.0.2.4", "10.244.1.3:8443"}, // is on another node
	} {
		visit(t, ns, client.set, key, client.client, client.backend)
	}
	changed()
	if drift := reread(t, s, table); len(drift) != 1 || drift[0].Count != 2 {
		t.Errorf("found %s, want 2 elements", drift)
	}
	if b := s.Next(0); b == nil || len(b.Batch) != 2 {
		t.Errorf("the repair is %v, want 2 operations", b)
	}
	settle(t, s, table)
	var left []string
	for _, set := range []ruleset.Kind{ruleset.Affinity, ruleset.LocalAffinity} {
		left = slices.AppendSeq(left, maps.Keys(remembered(t, table, ruleset.Set{Kind: set})))
	}
	slices.Sort(left)
	want := []string{"203.0.113.5:443/tcp 192.0.2.1 10.244.1.3:8443", "203.0.113.5:443/tcp 192.0.2.3 10.244.0.3:8443"}
	if diff := cmp.Diff(want, left); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
}

// TestNamedAtRandom changes random elements and repairs what the notifications name. After each
// repair the state knows all of the table, and in the end the table is as before.
func TestNamedAtRandom(t *testing.T) {
	ns, table, s := ofVariety(t)
	before := nattest.Blocks(list(t, ns))
	changed := watch(t, table)
	random := rand.New(rand.NewPCG(1, 22))
	for round := range nstest.Size(40, 10) {
		found, err := table.Load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, command := range randomDamage(random, found) {
			_ = nstest.Command(t, ns, "nft", command).Run() // some keys are taken
		}
		changed()
		drift := reread(t, s, table)
		if random.IntN(3) == 0 {
			continue // the next damage comes before the repair
		}
		settle(t, s, table)
		if known(t, s, table, fmt.Sprintf("round %d, after %s", round, drift)); t.Failed() {
			break
		}
	}
	settle(t, s, table)
	known(t, s, table, "in the end")
	if diff := cmp.Diff(before, nattest.Blocks(list(t, ns))); diff != "" {
		t.Errorf("in the end (-before +after):\n%s", diff)
	}
}

// randomDamage deletes some elements of a table, and replaces others by their neighbours or
// gives them a comment.
func randomDamage(random *rand.Rand, found *ruleset.Snapshot) []string {
	var all []ruleset.Element
	for e := range found.Elements.All() {
		all = append(all, *e)
	}
	var out []string
	for _, i := range random.Perm(len(all))[:1+random.IntN(5)] {
		e, other := all[i], all[random.IntN(len(all))]
		e.Counter = false
		at := ruleset.Element{Set: e.Set, Key: e.Key, Slot: e.Slot, Client: e.Client}
		key, _, _ := strings.Cut(at.String(), " : ")
		out = append(out, fmt.Sprintf("delete element inet fairlead %s { %s }", e.Set, key))
		switch random.IntN(3) {
		case 0:
			continue
		case 1:
			e.Comment = "mine"
		case 2:
			if other.Set == e.Set {
				e.Data, e.Verdict = other.Data, other.Verdict
			}
			e.Slot += uint32(random.IntN(3))
		}
		out = append(out, fmt.Sprintf("add element inet fairlead %s { %s }", e.Set, e.String()))
	}
	return out
}

// TestNamedTooMany names more elements than are read one by one. The next load of everything
// makes up for these.
func TestNamedTooMany(t *testing.T) {
	ns := nstest.New(t)
	table := open(t, ns)
	s := fillState(1700, 10)
	settle(t, s, table)
	changed := watch(t, table)
	nftCommand(t, ns, "flush map inet fairlead backends4")
	changed()
	if _, err := table.LoadNamed(t.Context()); !errors.Is(err, nat.ErrTooLarge) {
		t.Fatalf("LoadNamed: %v, want ErrTooLarge", err)
	}
	found, err := table.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if drift := s.Adopt(found); len(drift) != 1 || drift[0].Count != 1700 {
		t.Errorf("found %s, want 1700 elements", drift)
	}
	settle(t, s, table)
	if found, err := table.LoadNamed(t.Context()); err != nil || len(found.Asked) > 0 {
		t.Errorf("LoadNamed after Load: %v", err)
	}
}

// TestNamedFaults makes each system call of a reading of elements fail once. LoadNamed fails
// and asks for a load of everything, or it returns what the kernel has.
func TestNamedFaults(t *testing.T) {
	ns := nstest.New(t)
	faults := &nltest.Faults{}
	table, err := kernel.OpenWith(ns, faults)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = table.Close() })
	s := fillState(100, 2)
	settle(t, s, table)
	other := open(t, ns)
	var damage ruleset.Batch
	for i := range 100 {
		key, _ := clusterService(i, 2)
		damage = append(damage, ruleset.Op{Verb: ruleset.DeleteElement, Element: ruleset.Element{Set: ruleset.BackendsOf(key), Key: key, Slot: 1}})
	}
	failed := 0
	for _, fault := range nltest.All() {
		for n := 1; n < 100; n += nstest.Size(1, 5) {
			if err := other.Commit(t.Context(), damage); err != nil {
				t.Fatal(err)
			}
			faults.Arm(fault, n, 1)
			table.Name(damage)
			found, err := table.LoadNamed(t.Context())
			if err != nil {
				failed++
				_, err = table.LoadNamed(t.Context())
				if !errors.Is(err, nat.ErrTooLarge) {
					t.Errorf("%s at call %d: after an error %v, want ErrTooLarge", fault.Name, n, err)
				}
			} else if drift, ok := s.AdoptNamed(found); !ok || len(drift) != 1 || drift[0].Count != 100 {
				t.Errorf("%s at call %d: found %s, want 100 elements", fault.Name, n, drift)
			}
			struck := faults.Disarm()
			load, err := table.Load(t.Context())
			if err != nil {
				t.Fatalf("%s at call %d: Load: %v", fault.Name, n, err)
			}
			s.Adopt(load)
			if settle(t, s, table) == 0 {
				t.Errorf("%s at call %d: nothing was repaired", fault.Name, n)
			}
			if struck == 0 {
				break
			}
		}
	}
	if failed == 0 {
		t.Error("no fault made a reading fail")
	}
	known(t, s, table, "in the end")
}
