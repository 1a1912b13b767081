// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package apply_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"fairlead/internal/inet"
	"fairlead/internal/nstest"
	"fairlead/nat"
	"fairlead/nat/apply"
	"fairlead/nat/nattest"
	"fairlead/nat/plan"
	"fairlead/nat/ruleset"
)

// crowdedTable is a table with many backends outside of the cluster's ranges, which another process wrote.
func crowdedTable(t *testing.T) *partial {
	t.Helper()
	s := newSpoiler(t)
	round(t, apply.New(s, crowded(nattest.Settings(), false)))
	if _, counts, err := s.Count(t.Context(), outsideElement(outsider(0, 0, false)).Set); err != nil || !counts {
		t.Skipf("the kernel does not count the elements of sets: %v", err)
	}
	return &partial{counting: &counting{spoiler: s}}
}

// TestUnreadLoadedAgain: the table was read in part, and before the first Round another program changes
// one element. The elements that were not read at first are no change.
func TestUnreadLoadedAgain(t *testing.T) {
	p := crowdedTable(t)
	settings := nattest.Settings()
	a := apply.New(p, crowded(settings, false))
	if _, err := a.Unblock(t.Context(), &settings); err != nil {
		t.Fatal(err)
	}
	damage := ruleset.Batch{{Verb: ruleset.DeleteElement, Element: ruleset.Element{
		Set: ruleset.Set{Kind: ruleset.Backends, Family: inet.IPv4}, Key: crowdedVIP(3, false), Slot: 7}}}
	if err := p.Table.Commit(t.Context(), damage); err != nil {
		t.Fatal(err)
	}
	p.Name(damage)
	a.DistrustPart(nat.Elements)
	r, err := a.Unblock(t.Context(), &settings)
	if err != nil {
		t.Fatal(err)
	}
	repaired := r.Repaired
	for more := true; more; more = r.More {
		if r, err = a.Round(t.Context()); err != nil {
			t.Fatal(err)
		}
		repaired.Merge(r.Repaired)
	}
	n := 0
	for _, d := range repaired {
		n += d.Count
	}
	if n != 1 || p.most != 1 {
		t.Errorf("%d changes by another program are reported, want 1: %s", n, repaired)
	}
}

// TestUnreadAdded: another program put an address with a comment into a set that was not read. An
// endpoint with the address comes during the check, and the kernel takes its element for the one it has.
func TestUnreadAdded(t *testing.T) {
	p := crowdedTable(t)
	strange := outsideElement(outsider(200, 0, false))
	strange.Comment = "mine"
	damage := ruleset.Batch{
		{Verb: ruleset.DeleteElement, Element: outsideElement(outsider(3, 77, false))}, {Verb: ruleset.AddElement, Element: strange},
	}
	if err := p.Table.Commit(t.Context(), damage); err != nil {
		t.Fatal(err)
	}
	state := crowded(nattest.Settings(), false)
	a := apply.New(p, state)
	round(t, a)
	if differs, _, err := a.Check(t.Context()); err != nil || !a.Unchecked() {
		t.Fatalf("the first part differs: %v, %v; unchecked: %v", differs, err, a.Unchecked())
	}
	f := cluster(1)
	f.Backends = []nat.Backend{nat.BackendAt(netip.AddrPortFrom(strange.Client.Addr(), 80), false)}
	state.Set(crowdedVIP(3, false), f)
	round(t, a)
	checkAll(t, a)
	settled(t, p.spoiler, state, crowdedServices)
}

// attack is a script of what others do while an agent starts and checks.
type attack struct {
	*testing.T
	*rand.Rand
	p        *partial
	state    *plan.State
	settings nat.Settings
	wishes   []func(*plan.State)
	script   []string
}

// strange are addresses that no Service has at first.
func (k *attack) strange() netip.Addr { return outsider(200, k.IntN(8), false) }

func (k *attack) note(format string, args ...any) {
	k.script = append(k.script, fmt.Sprintf(format, args...))
}

// damage changes some elements of the set. The watch hears of it if it is heard.
func (k *attack) damage(heard bool, a *apply.Applier) {
	k.Helper()
	if !heard && k.IntN(4) == 0 {
		k.note("all addresses")
		if out, err := nstest.Command(k.T, k.p.ns, "nft", "add element inet fairlead outside-backends4 { * }").CombinedOutput(); err != nil {
			k.Fatalf("%v: %s", err, out)
		}
	}
	for range 1 + k.IntN(4) {
		e := outsideElement(outsider(k.IntN(crowdedServices), k.IntN(crowdedBackends), false))
		op := ruleset.Op{Verb: ruleset.DeleteElement, Element: e}
		if k.IntN(2) > 0 {
			op = ruleset.Op{Verb: ruleset.AddElement, Element: outsideElement(k.strange())}
			if k.IntN(2) > 0 {
				op.Element.Comment = "mine"
			}
		}
		b := ruleset.Batch{op}
		err := k.p.Table.Commit(k.Context(), b)
		k.note("%s (heard %v): %v", op.String(), heard, err)
		if err == nil && heard {
			k.p.Name(b)
			a.DistrustPart(nat.Elements)
		}
	}
}

// change changes what is wanted.
func (k *attack) change() {
	i := k.IntN(crowdedServices)
	key := crowdedVIP(i, false)
	wish := func(f func(*plan.State)) {
		k.wishes = append(k.wishes, f)
		f(k.state)
	}
	switch k.IntN(4) {
	case 0:
		k.note("delete Service %d", i)
		wish(func(s *plan.State) { s.Delete(key) })
	case 1:
		f := nat.Frontend{Policy: nat.Internal, Exclusive: true, Owner: "default/web"}
		for range 3 {
			ip := k.strange()
			k.note("Service %d at %s", i, ip)
			f.Backends = append(f.Backends, nat.BackendAt(netip.AddrPortFrom(ip, uint16(80+len(f.Backends))), false))
		}
		wish(func(s *plan.State) { s.Set(key, f) })
	case 2:
		f := nat.Frontend{Policy: nat.Reject, Exclusive: true, Owner: "default/web"}
		k.note("Service %d without endpoints", i)
		wish(func(s *plan.State) { s.Set(key, f) })
	case 3:
		k.note("the ranges of the cluster grow")
		k.settings.Cluster = append(k.settings.Cluster, nattest.Prefixes(fmt.Sprintf("172.%d.0.0/16", 16+k.IntN(3)))...)
		set := k.settings
		wish(func(s *plan.State) { s.Configure(set) })
	}
}

// start returns a new process that wants what is wanted.
func (k *attack) start() *apply.Applier {
	k.state = crowded(nattest.Settings(), false)
	for _, wish := range k.wishes {
		wish(k.state)
	}
	return apply.New(k.p, k.state)
}

// crash ends the process between two batches, and returns the next one.
func (k *attack) crash(a *apply.Applier) *apply.Applier {
	k.Helper()
	for range 3 {
		k.change()
	}
	rounds := 1 + k.IntN(3)
	for range rounds {
		if _, err := a.Round(k.Context()); err != nil {
			k.Fatalf("%v\n%q", err, k.script)
		}
	}
	k.note("a crash after %d rounds, unchecked %v", rounds, a.Unchecked())
	return k.start()
}

// waits returns a process that reads the table before it can read what is wanted. Meanwhile others
// change the set.
func (k *attack) waits() *apply.Applier {
	k.Helper()
	a := k.start()
	for range 2 {
		if _, err := a.Unblock(k.Context(), &k.settings); err != nil {
			k.Fatalf("%v\n%q", err, k.script)
		}
		k.damage(true, a)
	}
	k.note("the objects arrive")
	return a
}

// rounds calls Round until there is no more to do.
func (k *attack) rounds(a *apply.Applier) {
	k.Helper()
	for range 1000 {
		r, err := a.Round(k.Context())
		if err != nil {
			k.Fatalf("%v\n%q", err, k.script)
		}
		if len(r.Refused)+len(r.Chains)+len(r.Objects) > 0 {
			k.Fatalf("refused: %v\n%q", r, k.script)
		}
		if !r.More {
			return
		}
	}
	k.Fatalf("the rounds do not end: %q", k.script)
}

// TestUnreadAttacks: other programs change the set that was not read before the start, before the check
// and during it, while Services and settings change. At the end the kernel has what is wanted.
func TestUnreadAttacks(t *testing.T) {
	seeds := 8
	if testing.Short() {
		seeds = 3
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			k := &attack{T: t, Rand: rand.New(rand.NewPCG(uint64(seed), 41)), p: crowdedTable(t), settings: nattest.Settings()}
			k.state = crowded(k.settings, false)
			if k.IntN(4) > 0 {
				k.damage(false, nil)
			}
			if k.IntN(4) == 0 {
				k.change() // while no agent ran
			}
			a := apply.New(k.p, k.state)
			if k.IntN(3) == 0 {
				a = k.crash(a)
			}
			if k.IntN(3) == 0 {
				a = k.waits()
			}
			k.rounds(a)
			k.note("ready, unchecked %v", a.Unchecked())
			for range 100 {
				if !a.Unchecked() {
					break
				}
				if k.IntN(5) == 0 {
					k.change()
					k.rounds(a)
				}
				if k.IntN(10) == 0 {
					k.damage(true, a)
				}
				differs, _, err := a.Check(t.Context())
				if err != nil {
					t.Fatalf("%v\n%q", err, k.script)
				}
				if differs {
					k.rounds(a)
				}
			}
			if a.Unchecked() {
				t.Fatalf("the check does not end: %q", k.script)
			}
			found, err := k.p.Table.Load(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if drift := k.state.Adopt(found); len(drift) > 0 {
				t.Errorf("the kernel differs by %q from what is known\n%q", drift, k.script)
			}
			if step := k.state.Next(0); step != nil && len(step.Batch) > 0 {
				t.Errorf("not all is done: %s\n%q", step.Batch, k.script)
			}
		})
	}
}
