// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package apply_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"fairlead/nat"
	"fairlead/nat/apply"
	"fairlead/nat/nattest"
	"fairlead/nat/plan"
	"fairlead/nat/ruleset"
)

// otherLayout leaves n frontends in the kernel, with rules and a set that this version
// would make in another way.
func otherLayout(t *testing.T, s *spoiler, n int) {
	t.Helper()
	old := plan.NewState()
	old.Configure(nattest.Settings())
	for i := range n {
		old.Set(vip(i+1), cluster(3))
	}
	round(t, apply.New(s, old))
	changed := ruleset.Chain{Name: "services"}
	if err := s.Table.Commit(t.Context(), ruleset.Batch{
		{Verb: ruleset.AddChain, Chain: &changed},
		{Verb: ruleset.DeleteSet, Name: "hostip-ports4"},
	}); err != nil {
		t.Fatal(err)
	}
	s.commits = 0
}

// wanted returns a State that wants n frontends with another number of endpoints.
func wanted(n int) *plan.State {
	state := plan.NewState()
	state.Configure(nattest.Settings())
	for i := range n {
		state.Set(vip(i+1), cluster(4))
	}
	return state
}

func settled(t *testing.T, s *spoiler, state *plan.State, frontends int) {
	t.Helper()
	found, err := s.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	served := 0
	for e := range found.Elements.All() {
		if e.Set.Kind == ruleset.VIPs {
			served++
		}
	}
	if drift := state.Adopt(found); len(drift) > 0 || served != frontends {
		t.Errorf("%d frontends are served, want %d; the kernel differs by %q from what is known", served, frontends, drift)
	}
}

// TestReplace replaces the table of another version in one transaction, and fills the
// set that is new in another one before.
func TestReplace(t *testing.T) {
	s := newSpoiler(t)
	otherLayout(t, s, 200)
	state := wanted(200)
	r, err := apply.New(s, state).Round(t.Context())
	if err != nil || r.Replaced == 0 || r.Stepwise != nil || r.More {
		t.Fatalf("Round: %d operations replaced, step by step because of %v, more %v, %v", r.Replaced, r.Stepwise, r.More, err)
	}
	if s.commits != 2 || r.Commits[0] != (apply.Commit{Adds: 1}) {
		t.Errorf("%d commits, the first one of %+v; want the new set, then everything else", s.commits, r.Commits[0])
	}
	settled(t, s, state, 200)
}

// TestReplaceSame mends the table of this version step by step.
func TestReplaceSame(t *testing.T) {
	s := newSpoiler(t)
	round(t, apply.New(s, wanted(150)))
	state := wanted(200)
	r, err := apply.New(s, state).Round(t.Context())
	if err != nil || r.Replaced != 0 {
		t.Errorf("Round replaced the table with %d operations, %v", r.Replaced, err)
	}
	settled(t, s, state, 200)
}

// TestReplaceRefused has the kernel refuse a frontend during a replacement. All others are
// replaced in one transaction.
func TestReplaceRefused(t *testing.T) {
	s := newSpoiler(t)
	otherLayout(t, s, 50)
	s.vip = "10.96.0.60"
	state := wanted(70) // 20 of which are new
	r, err := apply.New(s, state).Round(t.Context())
	if err != nil || r.Replaced == 0 || r.Stepwise != nil {
		t.Fatalf("Round: %d operations replaced, step by step because of %v, %v", r.Replaced, r.Stepwise, err)
	}
	if len(r.Refused) != 1 || r.Refused[0].Frontend != vip(60) {
		t.Errorf("refused %v, want %s", r.Refused, vip(60))
	}
	if len(r.Repaired) > 0 {
		t.Errorf("our own try is reported as a change by another program: %s", r.Repaired)
	}
	settled(t, s, state, 69)
}

// narrow refuses batches that are larger than its limit, as a socket does.
type narrow struct {
	*spoiler
	limit int
}

func (n *narrow) Commit(ctx context.Context, b ruleset.Batch) error {
	if len(b) > n.limit {
		return fmt.Errorf("%d operations: %w", len(b), nat.ErrTooLarge)
	}
	return n.spoiler.Commit(ctx, b)
}

// TestReplaceTooLarge goes step by step where a transaction does not fit.
func TestReplaceTooLarge(t *testing.T) {
	s := newSpoiler(t)
	otherLayout(t, s, 200)
	state := wanted(0)
	for i := range 200 {
		state.Set(vip(i+1), cluster(10))
	}
	a := apply.New(&narrow{s, ruleset.DefaultLimit}, state)
	r, err := a.Round(t.Context())
	if err != nil || r.Replaced != 0 || r.Stepwise == nil || !strings.Contains(r.Stepwise.Error(), "too large") {
		t.Fatalf("Round: %d operations replaced, step by step because of %v, %v", r.Replaced, r.Stepwise, err)
	}
	if len(r.Repaired) > 0 {
		t.Errorf("our own try is reported as a change by another program: %s", r.Repaired)
	}
	round(t, a)
	settled(t, s, state, 200)
}

// TestReplaceLost loses the answer to the transaction that replaces the table: it is read
// again, and replaced if it still has to be.
func TestReplaceLost(t *testing.T) {
	s := newSpoiler(t)
	otherLayout(t, s, 20)
	state := wanted(20)
	a := apply.New(&lost{s, true}, state)
	if _, err := a.Round(t.Context()); err == nil {
		t.Error("no error although the answer was lost")
	}
	r, err := a.Round(t.Context())
	if err != nil || r.Loads != 1 || r.Replaced == 0 || len(r.Repaired) > 0 {
		t.Errorf("Round: %d loads, %d operations replaced, repaired %q, %v", r.Loads, r.Replaced, r.Repaired, err)
	}
	settled(t, s, state, 20)
}

// TestNarrowSocket fills a table through a socket that is too small for the batches that
// are used where there is much to do. They become smaller, and nothing is refused.
func TestNarrowSocket(t *testing.T) {
	s := newSpoiler(t)
	state := plan.NewState()
	state.Configure(nattest.Settings())
	for i := range 250 {
		state.Set(vip(i+1), cluster(20))
	}
	if refused, chains := round(t, apply.New(&narrow{s, ruleset.DefaultLimit + 50}, state)); len(refused)+len(chains) > 0 {
		t.Errorf("refused %v, chains %v", refused, chains)
	}
	settled(t, s, state, 250)
}
