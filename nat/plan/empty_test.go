// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"fairlead/internal/inet"
	"fairlead/nat"
	"fairlead/nat/nattest"
	"fairlead/nat/ruleset"
)

var emptyKey = nattest.Addr("203.0.113.7:80", inet.TCP)

// served returns a frontend with some backends, the first of which are on the node under policy Local.
func served(policy nat.TrafficPolicy, backends, locals int) nat.Frontend {
	f := nat.Frontend{Policy: policy, Owner: "d/web", Backends: nattest.Pods(backends)}
	for i := range f.Backends[:locals] {
		f.LocalBackends = append(f.LocalBackends, f.Backends[i].AddrPort())
	}
	return f
}

// withoutBackends returns a frontend without its backends.
func withoutBackends(f nat.Frontend) nat.Frontend {
	f.Policy, f.Backends, f.LocalBackends = nat.Reject, nil, nil
	return f
}

// restricted returns a frontend with source ranges.
func restricted(f nat.Frontend, ranges ...string) nat.Frontend {
	f.Restricted, f.Sources = true, nattest.Prefixes(ranges...)
	return f
}

// TestEmptied shows the verdict of a frontend whose backends are all gone. It stays where the chain
// refuses each client that the frontend would have served.
func TestEmptied(t *testing.T) {
	sticky := served(nat.External, 1, 0)
	sticky.Affinity = time.Hour
	for _, tt := range []struct {
		name string
		from nat.Frontend
		to   nat.Frontend
		want string
	}{
		{"ClusterIP", served(nat.Internal, 1, 0), withoutBackends(served(nat.Internal, 1, 0)), "cluster4-1"},
		{"external", served(nat.External, 1, 0), withoutBackends(served(nat.External, 1, 0)), "external4-1"},
		{"four at once", served(nat.External, 4, 0), withoutBackends(served(nat.External, 4, 0)), "external4-4"},
		{"five at once", served(nat.External, 5, 0), withoutBackends(served(nat.External, 5, 0)), "refuse"},
		{"policy Local", served(nat.Local, 2, 1), withoutBackends(served(nat.Local, 2, 1)), "local4-2-1"},
		{"policy Local without a backend here", served(nat.Local, 2, 0), withoutBackends(served(nat.Local, 2, 0)), "refuse"},
		{"sticky", sticky, withoutBackends(sticky), "refuse"},
		{"ranges", restricted(served(nat.External, 1, 0), "192.0.2.0/24"), restricted(withoutBackends(served(nat.External, 1, 0)), "192.0.2.0/25"), "guarded-external4-1"},
		{"ranges come", served(nat.External, 1, 0), restricted(withoutBackends(served(nat.External, 1, 0)), "192.0.2.0/24"), "guarded-reject4"},
		{"ranges go", restricted(served(nat.External, 1, 0), "192.0.2.0/24"), withoutBackends(served(nat.External, 1, 0)), "refuse"},
		{"dropped", served(nat.Internal, 1, 0), nat.Frontend{Policy: nat.Drop, Owner: "d/web"}, "drop"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := settled(emptyKey, tt.from)
			s.Set(emptyKey, tt.to)
			dry(s)
			have := s.have.frontends[emptyKey]
			if have.verdict != tt.want || len(have.slots)+len(have.locals) > 0 {
				t.Errorf("verdict %s with %d backends, want %s with none", have.verdict, len(have.slots)+len(have.locals), tt.want)
			}
			if fresh := settled(emptyKey, tt.to).have.frontends[emptyKey].verdict; strings.Contains(fresh, "4-") {
				t.Errorf("a table that is made anew has %s", fresh)
			}
			back := tt.from
			back.Sources, back.Restricted = tt.to.Sources, tt.to.Restricted
			s.Set(emptyKey, back)
			ops := strings.Join(dry(s), "\n")
			if kept := tt.want == settled(emptyKey, back).have.frontends[emptyKey].verdict; kept == strings.Contains(ops, "vips4") {
				t.Errorf("back again:\n%s", ops)
			}
			s.Set(emptyKey, tt.to)
			dry(s)
			s.Delete(emptyKey)
			if dry(s); len(s.have.frontends) > 0 {
				t.Error("deleted while it is empty, and something is left")
			}
		})
	}
}

// TestEmptiedRenamed gives the address of a frontend without backends to another Service. It keeps
// the shape, with the name of that Service.
func TestEmptiedRenamed(t *testing.T) {
	f := served(nat.External, 1, 0)
	s := settled(emptyKey, f)
	s.Set(emptyKey, withoutBackends(f))
	dry(s)
	f.Owner = "other/web"
	s.Set(emptyKey, withoutBackends(f))
	want := `delete element vips4 { 203.0.113.7 . tcp . 80 comment "other/web" : goto external4-1 }
add element vips4 { 203.0.113.7 . tcp . 80 comment "other/web" : goto external4-1 }`
	if got := strings.Join(dry(s), "\n"); got != want {
		t.Errorf("got\n%s", got)
	}
}

// TestEmptiedLarge gives many backends to a frontend that kept its shape without any, together
// with another policy or with source ranges. No client reaches one of them by the rules of the old
// shape, whatever the batches.
func TestEmptiedLarge(t *testing.T) {
	for name, to := range map[string]nat.Frontend{
		"class":  {Policy: nat.External, Owner: "d/web"},
		"policy": {Policy: nat.Internal, Owner: "d/web"},
		"ranges": restricted(nat.Frontend{Policy: nat.External, Owner: "d/web"}, "192.0.2.0/24"),
		"name":   {Policy: nat.External, Owner: "other/web"},
	} {
		for _, n := range []int{2, 60, 65, 300, 5000} {
			s := settled(emptyKey, served(nat.External, 1, 0))
			s.Set(emptyKey, withoutBackends(served(nat.External, 1, 0)))
			dry(s)
			to.Backends = nattest.Pods(n)
			s.Set(emptyKey, to)
			want := ruleset.ShapeOf(&to, emptyKey, ruleset.Shape{}).Verdict()
			for step := s.Next(100); step != nil; step = s.Next(100) {
				s.Acked(step)
				if have := s.have.frontends[emptyKey]; len(have.slots) > 0 && have.verdict != want && have.verdict != "refuse" {
					t.Fatalf("%s, %d: %d backends behind %s", name, n, len(have.slots), have.verdict)
				}
			}
			if have := s.have.frontends[emptyKey]; have.verdict != want || len(have.slots) != n || s.Pending() > 0 {
				t.Errorf("%s, %d: %d backends behind %s in the end", name, n, len(have.slots), have.verdict)
			}
		}
	}
}

// TestEmptiedAtRandom takes backends away and gives others, with any policy. In the end the kernel
// refuses where a frontend has no backend, with the guard that is wanted.
func TestEmptiedAtRandom(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	s := settled(emptyKey, served(nat.External, 1, 0))
	kept := 0
	for range 1000 {
		f := served([]nat.TrafficPolicy{nat.Internal, nat.External, nat.Local}[random.IntN(3)], 1+random.IntN(4), 0)
		for _, b := range f.Backends[:random.IntN(len(f.Backends)+1)] {
			f.LocalBackends = append(f.LocalBackends, b.AddrPort())
		}
		if random.IntN(4) == 0 {
			f = restricted(f, []string{"192.0.2.0/24", "192.0.2.0/25"}[random.IntN(2)])
		}
		if random.IntN(5) == 0 {
			f.Affinity = time.Minute
		}
		if random.IntN(2) == 0 {
			f = withoutBackends(f)
		}
		s.Set(emptyKey, f)
		if random.IntN(3) == 0 {
			continue
		}
		for step := s.Next(1 + random.IntN(20)); step != nil; step = s.Next(1 + random.IntN(20)) {
			s.Acked(step)
		}
		f = f.Canonical(emptyKey)
		have := s.have.frontends[emptyKey]
		want := ruleset.ShapeOf(&f, emptyKey, ruleset.Shape{})
		switch {
		case len(have.slots) != len(f.Backends) || len(have.locals) != len(f.LocalBackends) || len(have.sources) != len(f.Sources) || s.Pending() > 0:
			t.Fatalf("%+v: the kernel has %+v", f, have)
		case have.verdict == want.Verdict():
		case have.shape.IsGuarded() != f.Restricted || have.shape.IsSticky() != (f.Affinity > 0):
			t.Fatalf("%+v: verdict %s", f, have.verdict)
		case f.Policy == nat.Reject:
			if kept++; !have.shape.KeepsEmpty() {
				t.Fatalf("%+v: verdict %s", f, have.verdict)
			}
		case have.shape.PolicyWord() != want.PolicyWord():
			t.Fatalf("%+v: verdict %s", f, have.verdict)
		}
	}
	if kept < 100 {
		t.Errorf("a shape was kept %d times", kept)
	}
}

// TestEmptiedAdopted reads a table in which a frontend without backends has kept its shape. It is
// as it should be. Where another program deleted the verdict, the frontend is refused as in a
// table that is made anew.
func TestEmptiedAdopted(t *testing.T) {
	f := served(nat.External, 1, 0)
	for verdict, want := range map[string]string{"external4-1": "", "cluster4-2": "", "refuse": "", "external4-8": "refuse", "local4-1-0": "refuse", "guarded-external4-1": "refuse", "": "refuse"} {
		s := settled(emptyKey, f)
		s.Set(emptyKey, withoutBackends(f))
		dry(s)
		found := &ruleset.Snapshot{Exists: true, Chains: map[string]*ruleset.Chain{}, Sets: map[ruleset.Set]bool{}, Ranges: map[ruleset.Set][]netip.Prefix{}}
		if verdict != "" {
			found.Elements.Add(&ruleset.Element{Set: ruleset.VerdictsOf(emptyKey), Key: emptyKey, Verdict: verdict, Comment: "d/web"})
		}
		s.Adopt(found)
		got := ""
		for _, ops := range dry(s) {
			if _, after, is := strings.Cut(ops, "add element vips4 { 203.0.113.7 . tcp . 80 comment \"d/web\" : goto "); is {
				got, _, _ = strings.Cut(after, " ")
			}
		}
		if got != want {
			t.Errorf("found %q: the repair writes %q, want %q", verdict, got, want)
		}
	}
}

// TestChainsAheadUnused: chains that were made for the next verdict go if that is not wanted any more.
func TestChainsAheadUnused(t *testing.T) {
	for name, back := range map[string]nat.Frontend{
		"fewer": served(nat.External, 1, 0), "none": withoutBackends(served(nat.External, 1, 0)),
	} {
		s := settled(emptyKey, served(nat.External, 1, 0))
		had := len(s.have.chains)
		s.Set(emptyKey, served(nat.External, 3, 0))
		s.Acked(s.Next(0))
		if len(s.have.chains) == had {
			t.Fatal("no chain is made ahead of the verdict")
		}
		s.Set(emptyKey, back)
		if dry(s); len(s.have.chains) != had {
			t.Errorf("%s: %d chains are left, want %d", name, len(s.have.chains), had)
		}
	}
}
