// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package apply_test

import (
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairlead/internal/inet"
	"fairlead/internal/nl/nltest"
	"fairlead/internal/nstest"
	"fairlead/nat"
	"fairlead/nat/apply"
	"fairlead/nat/kernel"
	"fairlead/nat/nattest"
	"fairlead/nat/plan"
	"fairlead/nat/ruleset"
)

// faulty is a table whose system calls can fail, and a second look at the kernel whose
// calls never do.
type faulty struct {
	*kernel.Table
	faults *nltest.Faults
	clean  *kernel.Table
}

func newFaulty(t *testing.T) *faulty {
	t.Helper()
	ns := nstest.New(t)
	f := &faulty{faults: &nltest.Faults{}}
	var err error
	if f.Table, err = kernel.OpenWith(ns, f.faults); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	if f.clean, err = kernel.Open(ns); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.clean.Close() })
	return f
}

// wantedTable is the state that each case has to reach.
func wantedTable() *plan.State {
	state := plan.NewState()
	state.Configure(nattest.Settings())
	nattest.Variety(state)
	for i := range 30 {
		state.Set(vip(100+i), cluster(1+i%6))
	}
	return state
}

// listing returns all that a table holds, in an order of its own.
func listing(t *testing.T, table *kernel.Table) string {
	t.Helper()
	found, err := table.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for e := range found.Elements.All() {
		lines = append(lines, fmt.Sprintf("%s %s", e.Set, e))
	}
	slices.Sort(lines)
	for _, name := range slices.Sorted(maps.Keys(found.Chains)) {
		lines = append(lines, fmt.Sprintf("%s %q", name, found.Chains[name].Fingerprint()))
	}
	sets := slices.SortedFunc(maps.Keys(found.Sets), ruleset.CompareSets)
	return strings.Join(lines, "\n") + fmt.Sprint(sets, found.Ranges, found.Strays, found.StraySets)
}

// outcome is what a caller of Round was told.
type outcome struct {
	rounds  int
	errs    int
	refused map[inet.Addr]bool
}

// settle calls Round as the agent does until nothing is left to do. After each round
// the kernel must have every frontend that the round reports.
func (f *faulty) settle(t *testing.T, a *apply.Applier, state *plan.State) outcome {
	t.Helper()
	out := outcome{refused: map[inet.Addr]bool{}}
	const most = 60
	for {
		out.rounds++
		if out.rounds > most {
			t.Fatalf("no end after %d rounds", most)
		}
		r, err := a.Round(t.Context())
		for _, one := range r.Refused {
			out.refused[one.Frontend] = true
		}
		f.hasChanged(t, &r, state)
		switch {
		case err != nil:
			out.errs++
			fallthrough
		case !r.More && state.Pending() > 0:
			state.Retry() // the agent waits before it does
		case !r.More:
			return out
		}
	}
}

// hasChanged checks that the kernel took what a round reports as changed.
func (f *faulty) hasChanged(t *testing.T, r *apply.Result, state *plan.State) {
	t.Helper()
	if len(r.Changed) == 0 {
		return
	}
	found, err := f.clean.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	served := map[inet.Addr]bool{}
	for e := range found.Elements.All() {
		served[e.Key] = true
	}
	for _, key := range r.Changed {
		if state.Owner(key) != "" && !served[key] {
			t.Errorf("%s is reported as changed, and the kernel does not have it", key)
		}
	}
}

// every makes the sweeps leave out no call. A load reads each set with two calls that
// fail alike, so the short form takes some of them.
var every = flag.Bool("every-call", false, "make each system call of a sweep fail, instead of some among those that are alike")

// alike is how many calls the short form goes on by, after those that differ.
const differing, alike = 12, 11

// sweep arms each fault at the first call, the second one and so on, until a case ends
// without it. Each case has to reach want.
func (f *faulty) sweep(t *testing.T, want string, begin func(t *testing.T) (*apply.Applier, *plan.State)) {
	t.Helper()
	for _, fault := range nltest.All() {
		if fault.Place == nltest.Enter {
			continue // the socket is open
		}
		t.Run(strings.ReplaceAll(fault.Name, " ", "-"), func(t *testing.T) {
			for n := 1; ; n++ {
				if n > differing && !*every {
					n += alike - 1
				}
				a, state := begin(t)
				f.faults.Arm(fault, n, 1)
				got := f.settle(t, a, state)
				struck := f.faults.Disarm()
				if diff := cmp.Diff(want, listing(t, f.clean)); diff != "" {
					t.Fatalf("call %d: the kernel differs from a rebuild (-want +got):\n%s", n, diff)
				}
				again, err := a.Round(t.Context())
				if err != nil || len(again.Commits) > 0 {
					t.Fatalf("call %d: one more round writes %d batches, %v", n, len(again.Commits), err)
				}
				if len(got.refused) > 2 {
					t.Errorf("call %d: %d frontends waited: %v", n, len(got.refused), slices.Collect(maps.Keys(got.refused)))
				}
				if struck == 0 {
					return
				}
			}
		})
	}
}

// TestFaultsFresh makes each system call of a first sync fail, in each way. The end
// equals the table of an agent that met no fault.
func TestFaultsFresh(t *testing.T) {
	f := newFaulty(t)
	want := f.rebuilt(t)
	f.sweep(t, want, func(t *testing.T) (*apply.Applier, *plan.State) {
		t.Helper()
		f.delete(t)
		state := wantedTable()
		return apply.New(f, state), state
	})
}

// rebuilt writes the table without faults and returns it.
func (f *faulty) rebuilt(t *testing.T) string {
	t.Helper()
	state := wantedTable()
	round(t, apply.New(f.clean, state))
	return listing(t, f.clean)
}

func (f *faulty) delete(t *testing.T) {
	t.Helper()
	if err := f.clean.Delete(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestFaultsRepair makes each system call of a repair fail. The kernel had the table
// before, another program took parts of it away and added others, and endpoints changed
// meanwhile.
func TestFaultsRepair(t *testing.T) {
	f := newFaulty(t)
	want := f.rebuilt(t)
	f.sweep(t, want, func(t *testing.T) (*apply.Applier, *plan.State) {
		t.Helper()
		f.damage(t)
		state := wantedTable()
		return apply.New(f, state), state
	})
}

// damage changes the table as another program might.
func (f *faulty) damage(t *testing.T) {
	t.Helper()
	state := wantedTable()
	state.Delete(vip(101))
	state.Set(vip(102), cluster(2))
	state.Set(vip(250), nat.Frontend{Policy: nat.Reject, Exclusive: true, Owner: "default/foreign"})
	round(t, apply.New(f.clean, state))
	stray := ruleset.Chain{Name: "stray"}
	if err := f.clean.Commit(t.Context(), ruleset.Batch{
		{Verb: ruleset.FlushChain, Name: "services"},
		{Verb: ruleset.AddChain, Chain: &stray},
	}); err != nil {
		t.Fatal(err)
	}
}
