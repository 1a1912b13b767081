// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package apply_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"fairlead/internal/inet"
	"fairlead/nat"
	"fairlead/nat/apply"
	"fairlead/nat/nattest"
	"fairlead/nat/plan"
	"fairlead/nat/ruleset"
)

// stubborn is a table in which another program does again at once what the agent undoes.
type stubborn struct {
	*spoiler
	again ruleset.Batch
	times int // that it does so; negative for always
}

func (s *stubborn) Commit(ctx context.Context, b ruleset.Batch) error {
	err := s.spoiler.Commit(ctx, b)
	if s.times == 0 {
		return err
	}
	s.times--
	return errors.Join(err, s.Table.Commit(ctx, s.again))
}

// TestUnblockEnds has another program undo each repair, a few times or always. Unblock ends in
// any case, so that the loop goes on to the first objects, and reports each repair.
func TestUnblockEnds(t *testing.T) {
	foreign := ruleset.Element{Set: ruleset.VerdictsOf(vip(200)), Key: vip(200), Verdict: ruleset.VerdictDrop}
	settings := nattest.Settings()
	hooked := ruleset.Program(&settings, true, nil)
	output := hooked[slices.IndexFunc(hooked, func(c ruleset.Chain) bool { return c.Name == "output" })]
	drops := *output.Hook
	drops.Drops = true
	output.Hook = &drops
	for name, batch := range map[string]ruleset.Batch{
		"element": {{Verb: ruleset.AddElement, Element: foreign}},
		"policy":  {{Verb: ruleset.DeleteChain, Name: output.Name}, {Verb: ruleset.AddChain, Chain: &output}},
	} {
		for _, times := range []int{0, 1, 2, -1} {
			s := &stubborn{spoiler: newSpoiler(t)}
			state := plan.NewState()
			state.Configure(settings)
			state.Set(vip(1), cluster(3))
			round(t, apply.New(s, state))
			if err := s.Table.Commit(t.Context(), batch); err != nil {
				t.Fatal(name, err)
			}
			s.again, s.times, s.commits = batch, times, 0
			a := apply.New(s, plan.NewState())
			r, err := a.Unblock(t.Context(), &settings)
			if always := times < 0; (err != nil) != always || errors.Is(err, nat.ErrDrift) {
				t.Errorf("%s, %d times: error %v", name, times, err)
			}
			if most := 6; s.commits > most || times >= 0 && s.commits != times+1 || len(r.Commits) != s.commits || len(r.Repaired) == 0 {
				t.Errorf("%s, %d times: %d commits, reported are %d of them and %v", name, times, s.commits, len(r.Commits), r.Repaired)
			}
		}
	}
}

// TestUnblockMany has another program add more elements than one batch deletes. Each one is
// reported once.
func TestUnblockMany(t *testing.T) {
	const n = 2*ruleset.DefaultLimit + 7
	s := newSpoiler(t)
	state := plan.NewState()
	settings := nattest.Settings()
	state.Configure(settings)
	state.Set(vip(1), cluster(3))
	round(t, apply.New(s, state))
	var foreign ruleset.Batch
	for i := range n {
		key := nattest.Addr(fmt.Sprintf("192.0.2.1:%d", 1+i), inet.TCP)
		foreign = append(foreign, ruleset.Op{Verb: ruleset.AddElement, Element: ruleset.Element{Set: ruleset.VerdictsOf(key), Key: key, Verdict: ruleset.VerdictDrop}})
	}
	if err := s.Table.Commit(t.Context(), foreign); err != nil {
		t.Fatal(err)
	}
	r, err := apply.New(s, plan.NewState()).Unblock(t.Context(), &settings)
	if err != nil || len(r.Commits) != 3 || len(r.Repaired) != 1 || r.Repaired[0].Count != n {
		t.Errorf("%d commits repaired %v, error %v, want %d elements", len(r.Commits), r.Repaired, err, n)
	}
	if found, err := s.Load(t.Context()); err != nil || strings.Contains(elements(t, s), "192.0.2.1") || len(found.Strays) > 0 {
		t.Errorf("elements are left, error %v", err)
	}
}
