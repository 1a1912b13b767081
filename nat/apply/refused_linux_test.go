// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package apply_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"fairlead/internal/nstest"
	"fairlead/nat"
	"fairlead/nat/apply"
	"fairlead/nat/nattest"
	"fairlead/nat/plan"
	"fairlead/nat/ruleset"
)

// strict is a kernel that refuses some operations. It names all of them or none.
type strict struct {
	*spoiler
	refuses func(o *ruleset.Op) bool
	named   bool
}

func (s *strict) Commit(ctx context.Context, b ruleset.Batch) error {
	s.commits++
	refused := &ruleset.RefusedError{First: "an operation"}
	for i := range b {
		if s.refuses(&b[i]) {
			refused.Refusals = append(refused.Refusals, ruleset.Refusal{Index: i, Err: unix.EINVAL})
		}
	}
	switch {
	case len(refused.Refusals) == 0:
		return s.Table.Commit(ctx, b)
	case !s.named:
		refused.Refusals = []ruleset.Refusal{{Index: ruleset.Whole, Err: unix.EINVAL}}
	}
	return refused
}

// leave leaves a set of another program in the table, and an element that matches all other
// keys of a map.
func leave(t *testing.T, s *spoiler) {
	t.Helper()
	state := plan.NewState()
	state.Configure(nattest.Settings())
	round(t, apply.New(s, state))
	for _, command := range []string{"add set inet fairlead mine { type ipv4_addr; }", "add element inet fairlead vips4 { * : drop }"} {
		if out, err := nstest.Command(t, s.ns, "nft", command).CombinedOutput(); err != nil {
			t.Fatalf("nft %s: %v\n%s", command, err, out)
		}
	}
	s.commits = 0
}

// TestRefusedMany has the kernel refuse parts of a large table. Each is set aside and
// named, all else is served, and the number of batches depends on the number of bad parts
// and hardly on the size of the table.
func TestRefusedMany(t *testing.T) {
	const services = 250
	bad := []int{3, 90, 91, 200, 249}
	ip := func(i int) string { return vip(i).IP.String() }
	isBad := func(s string) bool { return slices.ContainsFunc(bad, func(i int) bool { return s == ip(i) }) }
	for _, tt := range []struct {
		name    string
		refuses func(o *ruleset.Op) bool
		served  int
		objects []string
		named   int // batches that are refused, at most
		unnamed int
	}{
		{"verdicts", func(o *ruleset.Op) bool {
			return o.Verb == ruleset.AddElement && o.Element.Set.Spec().Verdict && isBad(o.Element.Key.IP.String())
		}, services - len(bad), nil, 3, len(bad) * 20},
		{"backends", func(o *ruleset.Op) bool {
			return o.Verb == ruleset.AddElement && o.Element.Set.IsSlots() && isBad(o.Element.Key.IP.String())
		}, services - len(bad), nil, 3, len(bad) * 20},
		{"chains", func(o *ruleset.Op) bool {
			return o.Verb == ruleset.AddChain && (o.Chain.Name == "pick4-2" || o.Chain.Name == "pick4-4")
		}, services / 5 * 2, nil, 3, 2 * 20},
		{"set on demand", func(o *ruleset.Op) bool {
			return o.Verb == ruleset.AddSet && o.Set == ruleset.SourcesOf(netip.MustParsePrefix("192.0.2.0/24"))
		}, services - 1, []string{"set " + ruleset.SourcesOf(netip.MustParsePrefix("192.0.2.0/24")).String()}, 2, 20},
		{"ranges", func(o *ruleset.Op) bool {
			return o.Verb == ruleset.AddElement && o.Element.Set.Kind == ruleset.ServiceCIDRs
		}, services, []string{"ranges of service-cidrs4"}, 3, 40},
		{"leftovers", func(o *ruleset.Op) bool { return o.Verb == ruleset.DeleteSet || o.Stray != nil },
			services, []string{"delete set inet fairlead mine", "vips4 *"}, 3, 40},
		{"shared element", func(o *ruleset.Op) bool {
			return o.Verb == ruleset.AddElement && o.Element.Set.Kind == ruleset.ClusterIPs && isBad(o.Element.Key.IP.String())
		}, services, []string{"cluster-ips4 " + ip(3), "cluster-ips4 " + ip(90)}, 3, len(bad) * 20},
	} {
		for _, named := range []bool{true, false} {
			most := tt.unnamed
			if named {
				most = tt.named
			}
			t.Run(fmt.Sprintf("%s/named=%v", strings.ReplaceAll(tt.name, " ", "-"), named), func(t *testing.T) {
				s := &strict{newSpoiler(t), tt.refuses, named}
				if tt.name == "leftovers" {
					leave(t, s.spoiler)
				}
				state := plan.NewState()
				state.Configure(nattest.Settings())
				for i := range services {
					f := cluster(1 + i%5)
					if i == 17 {
						f.Exclusive, f.Restricted, f.Sources, f.Policy = false, true, nattest.Prefixes("192.0.2.0/24"), nat.External
					}
					state.Set(vip(i), f)
				}
				a := apply.New(s, state)
				var objects, refused []string
				batches := 0
				for more := true; more; {
					r, err := a.Round(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					batches += len(r.Commits)
					for _, o := range r.Objects {
						objects = append(objects, o.Object)
					}
					for _, f := range r.Refused {
						refused = append(refused, f.Frontend.String())
					}
					more = r.More
				}
				if n := strings.Count(elements(t, s.spoiler), "vips4"); n != tt.served {
					t.Errorf("%d frontends are served, want %d; refused %v", n, tt.served, refused)
				}
				for _, o := range tt.objects {
					if !slices.ContainsFunc(objects, func(s string) bool { return strings.HasPrefix(s, o) }) {
						t.Errorf("%q is not named: %q", o, objects)
					}
				}
				if n := s.commits - batches; n > most {
					t.Errorf("%d batches were refused, want at most %d", n, most)
				}
				t.Logf("%d batches, %d refused", batches, s.commits-batches)
				s.refuses = func(*ruleset.Op) bool { return false }
				state.Retry()
				if refused, _ := round(t, a); len(refused) > 0 || state.Pending() > 0 {
					t.Errorf("after the retry %v are refused, %d are pending", refused, state.Pending())
				}
				found, err := s.Load(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if drift := state.Adopt(found); len(drift) > 0 || strings.Count(elements(t, s.spoiler), "vips4") != services {
					t.Errorf("after the retry the kernel differs: %v", drift)
				}
			})
		}
	}
}
