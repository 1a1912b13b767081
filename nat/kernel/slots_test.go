// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairlead/internal/inet"
	"fairlead/internal/nl/nltest"
	"fairlead/internal/nstest"
	"fairlead/nat"
	"fairlead/nat/kernel"
	"fairlead/nat/nattest"
	"fairlead/nat/plan"
	"fairlead/nat/ruleset"
)

// needCounts skips a test on a kernel that does not count the elements of sets.
func needCounts(t *testing.T, table *kernel.Table, s ruleset.Set) {
	t.Helper()
	if !table.Asked(t, s) {
		t.Skip("the kernel does not say how many elements a set has")
	}
}

// elementsOf returns the elements that a load finds, sorted.
func elementsOf(t *testing.T, table *kernel.Table) []string {
	t.Helper()
	found, err := table.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return textsOf(found)
}

func textsOf(found *ruleset.Snapshot) []string {
	var out []string
	for e := range found.Elements.All() {
		out = append(out, e.Set.String()+" "+e.String())
	}
	for i := range found.Strays {
		s := &found.Strays[i]
		out = append(out, fmt.Sprintf("stray %s %x-%x %s", s.Set, s.Key, s.KeyEnd, s.Element.String()))
	}
	slices.Sort(out)
	return out
}

var backends4 = ruleset.Set{Kind: ruleset.Backends, Family: inet.IPv4}

// TestSlots reads maps of backends by their keys, after another program changed them, and finds
// what a dump finds.
func TestSlots(t *testing.T) {
	for _, tt := range []struct {
		name, damage string
		asked        bool // the keys alone tell what backends4 has
	}{
		{"nothing", "", true},
		{"no backend", "delete element inet fairlead backends4 { 10.96.0.10 . udp . 53 . 0 }", false},
		{"last backend", "delete element inet fairlead backends4 { 10.96.0.10 . udp . 53 . 1 }", true},
		{"one more in the class", "add element inet fairlead backends4 { 192.0.2.9 . tcp . 443 . 3 : 10.244.9.9 . 9 }", false},
		{"slot beyond the class", "add element inet fairlead backends4 { 10.96.0.10 . udp . 53 . 64 : 10.244.9.9 . 9 }", false},
		{"slot of nobody", "add element inet fairlead backends4 { 10.96.9.9 . udp . 53 . 0 : 10.244.9.9 . 9 }", false},
		{"one for another", "delete element inet fairlead backends4 { 10.96.0.10 . udp . 53 . 1 }; add element inet fairlead backends4 { 10.96.9.9 . udp . 53 . 0 : 10.244.9.9 . 9 }", false},
		{"other backend", "delete element inet fairlead backends4 { 10.96.0.10 . udp . 53 . 1 }; add element inet fairlead backends4 { 10.96.0.10 . udp . 53 . 1 : 10.244.9.9 . 9 }", true},
		{"comment", `delete element inet fairlead backends4 { 10.96.0.10 . udp . 53 . 1 }; add element inet fairlead backends4 { 10.96.0.10 . udp . 53 . 1 comment "mine" : 10.244.9.9 . 9 }`, true},
		{"catch-all", "add element inet fairlead backends4 { * : 10.244.9.9 . 9 }", false},
		{"no verdict", "delete element inet fairlead vips4 { 10.96.0.10 . udp . 53 }", false},
		{"other verdict", "delete element inet fairlead vips4 { 10.96.0.10 . udp . 53 }; add element inet fairlead vips4 { 10.96.0.10 . udp . 53 : goto refuse }", false},
		{"smaller class", "delete element inet fairlead vips4 { 10.96.0.10 . udp . 53 }; add element inet fairlead vips4 { 10.96.0.10 . udp . 53 : drop }", false},
		{"empty map", "flush map inet fairlead backends4", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ns, table, _ := ofVariety(t)
			table.AlwaysAsk()
			needCounts(t, table, backends4)
			if tt.damage != "" {
				if out, err := nstest.Command(t, ns, "nft", tt.damage).CombinedOutput(); err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
			}
			if asked := table.Asked(t, backends4); asked != tt.asked {
				t.Errorf("read by keys: %v, want %v", asked, tt.asked)
			}
			got := elementsOf(t, table)
			table.NeverAsk()
			if diff := cmp.Diff(elementsOf(t, table), got); diff != "" {
				t.Errorf("- dump, + keys:\n%s", diff)
			}
		})
	}
}

// TestSlotsOfMany reads frontends that take several questions each.
func TestSlotsOfMany(t *testing.T) {
	table := open(t, nstest.New(t))
	s := plan.NewState()
	s.Configure(nattest.Settings())
	for n, backends := range []int{1, 255, 256, 257, 300, 1025} {
		key, f := clusterService(n, backends)
		s.Set(key, f)
		key.IP = inet.FamilyOf(key.IP).Unspecified()
		key.Port += uint16(n)
		f.Policy, f.Exclusive = nat.External, false
		s.Set(key, f)
	}
	settle(t, s, table)
	table.AlwaysAsk()
	needCounts(t, table, backends4)
	if node := (ruleset.Set{Kind: ruleset.NodeBackends, Family: inet.IPv4}); !table.Asked(t, node) {
		t.Errorf("%s is not read by keys", node)
	}
	got := elementsOf(t, table)
	table.NeverAsk()
	if diff := cmp.Diff(elementsOf(t, table), got); diff != "" {
		t.Errorf("- dump, + keys:\n%s", diff)
	}
}

// TestSlotsBusy reads the table while another program changes a table of its own, and then
// backends of ours, all the time.
func TestSlotsBusy(t *testing.T) {
	for name, change := range map[string]string{
		"other table": "add table ip mine; delete table ip mine",
		"our table":   "delete element inet fairlead backends4 { 10.96.0.10 . udp . 53 . 1 }; add element inet fairlead backends4 { 10.96.0.10 . udp . 53 . 1 : 10.244.9.9 . 9 }",
	} {
		t.Run(name, func(t *testing.T) {
			ns, table, _ := ofVariety(t)
			table.NeverAsk()
			if out, err := nstest.Command(t, ns, "nft", change).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			want := elementsOf(t, table)
			table.AlwaysAsk()
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() {
				defer close(done)
				for ctx.Err() == nil {
					_ = nstest.Command(t, ns, "nft", change).Run()
				}
			}()
			for range 50 {
				if diff := cmp.Diff(want, elementsOf(t, table)); diff != "" {
					t.Errorf("- dump, + keys:\n%s", diff)
					break
				}
			}
			cancel()
			<-done
		})
	}
}

// TestSlotsFaults makes system calls fail while maps of backends are read by their keys. A load
// fails, or it finds what the kernel has.
func TestSlotsFaults(t *testing.T) {
	faults := &nltest.Faults{}
	table, err := kernel.OpenWith(nstest.New(t), faults)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = table.Close() })
	settle(t, fillState(300, 2), table)
	table.AlwaysAsk()
	needCounts(t, table, backends4)
	want := elementsOf(t, table)
	failed, good := 0, 0
	for _, fault := range nltest.Some() {
		for n := 1; ; n += nstest.Size(5, 25) {
			faults.Arm(fault, n, 1)
			found, err := table.Load(t.Context())
			struck := faults.Disarm()
			if err != nil {
				failed++
			} else if diff := cmp.Diff(want, textsOf(found)); diff != "" {
				t.Errorf("%s at call %d: - kernel, + load:\n%s", fault.Name, n, diff)
			}
			if struck == 0 {
				break
			}
			if err == nil {
				good++
			}
		}
	}
	if failed == 0 || good == 0 {
		t.Errorf("%d loads failed, %d survived a failure", failed, good)
	}
}
