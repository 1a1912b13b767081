// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package apply_test

import (
	"context"
	"fmt"
	"net/netip"
	"testing"

	"fairlead/internal/inet"
	"fairlead/nat"
	"fairlead/nat/apply"
	"fairlead/nat/nattest"
	"fairlead/nat/plan"
	"fairlead/nat/ruleset"
)

// partial counts the loads of everything, and those that may leave elements out.
type partial struct {
	*counting
	most int
}

func (p *partial) LoadMost(ctx context.Context) (*ruleset.Snapshot, error) {
	p.most++
	return p.Table.LoadMost(ctx)
}

// A set of more than 40,000 elements is left out.
const (
	crowdedServices = 41
	crowdedBackends = 1000
)

// outsider is the j-th backend of the i-th Service, outside of the cluster's ranges.
func outsider(i, j int, v6 bool) netip.Addr {
	if v6 {
		return netip.AddrFrom16([16]byte{0xfd, 0x77, 14: byte(j), 13: byte(j >> 8), 12: byte(i)})
	}
	return netip.AddrFrom4([4]byte{172, byte(16 + i>>4), byte(i<<4 | j>>8), byte(j)})
}

// crowded has more backends outside of the cluster's ranges than are read at a start.
func crowded(settings nat.Settings, v6 bool) *plan.State {
	state := plan.NewState()
	state.Configure(settings)
	for i := range crowdedServices {
		f := nat.Frontend{Policy: nat.Internal, Exclusive: true, Owner: "default/web"}
		for j := range crowdedBackends {
			f.Backends = append(f.Backends, nat.BackendAt(netip.AddrPortFrom(outsider(i, j, v6), 80), false))
		}
		state.Set(crowdedVIP(i, v6), f)
	}
	return state
}

func crowdedVIP(i int, v6 bool) inet.Addr {
	if v6 {
		return nattest.Addr(fmt.Sprintf("[fd00:10:96::%x]:80", i+1), inet.TCP)
	}
	return vip(i + 1)
}

func outsideElement(ip netip.Addr) ruleset.Element {
	set := ruleset.Set{Kind: ruleset.Outside, Family: inet.FamilyOf(ip)}
	return ruleset.Element{Set: set, Client: netip.PrefixFrom(ip, ip.BitLen())}
}

// TestUnread starts an agent beside a table with many backends outside of the cluster's ranges. Their
// set is not read before the agent is ready, if the kernel has as many elements as the backends tell. It is
// compared afterwards, and what another program did to it meanwhile is repaired.
func TestUnread(t *testing.T) {
	add := func(e ruleset.Element) ruleset.Op { return ruleset.Op{Verb: ruleset.AddElement, Element: e} }
	del := func(e ruleset.Element) ruleset.Op { return ruleset.Op{Verb: ruleset.DeleteElement, Element: e} }
	missing := func(v6 bool) ruleset.Element { return outsideElement(outsider(3, 77, v6)) }
	strange := func(v6 bool) ruleset.Element { return outsideElement(outsider(200, 0, v6)) }
	named := missing(false)
	named.Comment = "mine"
	for _, tt := range []struct {
		name   string
		v6     bool
		damage ruleset.Batch
		wider  bool // the ranges of the cluster have all backends now
		remove bool // a Service, before its elements are compared

		full    int  // loads of everything before the agent is ready
		commits bool // before the agent is ready
		later   int  // elements that are repaired afterwards
	}{
		{name: "nothing happened"},
		{name: "a Service goes", remove: true},
		{name: "an element is missing", damage: ruleset.Batch{del(missing(false))}, full: 1, commits: true},
		{name: "an element is strange", damage: ruleset.Batch{add(strange(false))}, full: 1, commits: true},
		{name: "one is missing, one is strange", damage: ruleset.Batch{del(missing(false)), add(strange(false))}, later: 2},
		{name: "the same, IPv6", v6: true, damage: ruleset.Batch{del(missing(true)), add(strange(true))}, later: 2},
		{name: "the same, and its Service goes", damage: ruleset.Batch{del(missing(false)), add(strange(false))}, remove: true, later: 1},
		{name: "one has a comment", damage: ruleset.Batch{del(missing(false)), add(named)}, later: 2},
		{name: "the ranges of the cluster grow", wider: true, commits: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSpoiler(t)
			round(t, apply.New(s, crowded(nattest.Settings(), tt.v6)))
			if _, counts, err := s.Count(t.Context(), missing(tt.v6).Set); err != nil || !counts {
				t.Skipf("the kernel does not count the elements of sets: %v", err)
			}
			if len(tt.damage) > 0 {
				if err := s.Table.Commit(t.Context(), tt.damage); err != nil {
					t.Fatal(err)
				}
			}
			settings := nattest.Settings()
			if tt.wider {
				settings.Cluster = append(settings.Cluster, nattest.Prefixes("172.16.0.0/12")...)
			}
			p := &partial{counting: &counting{spoiler: s}}
			state := crowded(settings, tt.v6)
			a := apply.New(p, state)
			s.commits = 0
			round(t, a)
			if p.most != 1 || p.full != tt.full || s.commits > 0 != tt.commits || a.Unchecked() == (tt.full > 0) {
				t.Fatalf("%d loads of most, %d of everything, %d commits, unchecked: %v", p.most, p.full, s.commits, a.Unchecked())
			}
			services := crowdedServices
			if tt.remove {
				state.Delete(crowdedVIP(3, tt.v6))
				services--
				round(t, a)
			}
			if later := checkAll(t, a); later != tt.later {
				t.Errorf("%d elements were repaired afterwards, want %d", later, tt.later)
			}
			settled(t, s, state, services)
			want := services * crowdedBackends
			if tt.wider {
				want = 0
			}
			if n, _, err := s.Count(t.Context(), missing(tt.v6).Set); err != nil || n != want {
				t.Errorf("the set has %d elements, want %d: %v", n, want, err)
			}
		})
	}
}

// checkAll calls Check until nothing is unchecked, and Round where it has to. It returns how many
// elements were repaired.
func checkAll(t *testing.T, a *apply.Applier) (repaired int) {
	t.Helper()
	for range 200 {
		if !a.Unchecked() {
			return repaired
		}
		differs, _, err := a.Check(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for more := differs; more; {
			r, err := a.Round(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range r.Repaired {
				repaired += d.Count
			}
			more = r.More
		}
	}
	t.Fatal("the check does not end")
	return 0
}
