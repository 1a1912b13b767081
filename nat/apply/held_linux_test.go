// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package apply_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairlead/nat"
	"fairlead/nat/apply"
	"fairlead/nat/nattest"
	"fairlead/nat/plan"
	"fairlead/nat/ruleset"
)

// TestRefusedMember has the kernel refuse the elements that new backends share with other
// frontends: without them, packets would reach the backends with the wrong source. The
// frontends stay as they are until the kernel takes the elements, and all others are served.
func TestRefusedMember(t *testing.T) {
	for _, named := range []bool{true, false} {
		for _, restart := range []bool{false, true} {
			t.Run(fmt.Sprintf("named=%v/restart=%v", named, restart), func(t *testing.T) {
				s := &strict{spoiler: newSpoiler(t), named: named, refuses: func(*ruleset.Op) bool { return false }}
				state := heldBefore()
				a := apply.New(s, state)
				round(t, a)
				s.refuses = func(o *ruleset.Op) bool {
					k := o.Element.Set.Kind
					return o.Verb == ruleset.AddElement && (k == ruleset.Outside || k == ruleset.Hairpin)
				}
				if restart {
					state = heldBefore()
					a = apply.New(s, state)
				}
				heldAfter(state)
				refused, _ := round(t, a)
				slices.Sort(refused)
				if diff := cmp.Diff([]string{vip(1).String(), vip(4).String(), vip(5).String()}, slices.Compact(refused)); diff != "" {
					t.Errorf("refused (-want +got):\n%s", diff)
				}
				safe(t, s, map[string]int{vip(1).String(): 3, vip(2).String(): 1, vip(3).String(): 1, vip(6).String(): 2, vip(7).String(): 1})
				s.refuses = func(*ruleset.Op) bool { return false }
				state.Retry()
				if refused, _ := round(t, a); len(refused) > 0 || state.Pending() > 0 {
					t.Errorf("after the retry: refused %v, %d pending", refused, state.Pending())
				}
				safe(t, s, map[string]int{vip(1).String(): 4, vip(2).String(): 1, vip(3).String(): 1, vip(4).String(): 2, vip(5).String(): 2, vip(6).String(): 2, vip(7).String(): 1})
				settled(t, s.spoiler, state, 7)
			})
		}
	}
}

func outside(backends ...nat.Backend) nat.Frontend {
	return nat.Frontend{Policy: nat.Internal, Exclusive: true, Owner: "default/held", Backends: backends}
}

func external(i int) nat.Backend {
	return nattest.Backends(fmt.Sprintf("198.51.100.%d:80", i))[0]
}

func onNode(i int) nat.Backend {
	b := nattest.Backends(fmt.Sprintf("10.244.9.%d:80", i))[0]
	b.OnNode = true
	return b
}

// heldBefore wants frontends whose elements the kernel takes.
func heldBefore() *plan.State {
	state := plan.NewState()
	state.Configure(nattest.Settings())
	state.Set(vip(1), cluster(3))
	state.Set(vip(2), outside(external(1)))
	state.Set(vip(3), outside(onNode(1)))
	return state
}

// heldAfter adds a backend, and frontends, of which some need new elements.
func heldAfter(state *plan.State) {
	state.Set(vip(1), outside(append(nattest.Pods(3), external(9))...))
	state.Set(vip(4), outside(external(1), external(8)))
	state.Set(vip(5), outside(onNode(1), onNode(2)))
	state.Set(vip(6), cluster(2))
	state.Set(vip(7), outside(external(1)))
}

// safe checks how many backends each frontend has, and that each backend has the elements that
// it needs.
func safe(t *testing.T, s *strict, want map[string]int) {
	t.Helper()
	found, err := s.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var backends []netip.Addr
	shared := map[netip.Addr]bool{}
	got, verdicts := map[string]int{}, map[string]bool{}
	for e := range found.Elements.All() {
		switch e.Set.Kind {
		case ruleset.VIPs:
			verdicts[e.Key.String()] = true
		case ruleset.Backends:
			got[e.Key.String()]++
			backends = append(backends, e.Data.Addr())
		case ruleset.Outside, ruleset.Hairpin:
			shared[e.Client.Addr()] = true
		}
	}
	for _, ip := range backends {
		needs := netip.MustParsePrefix("198.51.100.0/24").Contains(ip) || netip.MustParsePrefix("10.244.9.0/24").Contains(ip)
		if needs && !shared[ip] {
			t.Errorf("packets are sent to %s without the element that it needs", ip)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" || len(verdicts) != len(want) {
		t.Errorf("%d frontends are served, with backends (-want +got):\n%s", len(verdicts), diff)
	}
}
