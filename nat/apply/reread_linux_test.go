// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package apply_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"fairlead/nat"
	"fairlead/nat/apply"
	"fairlead/nat/nattest"
	"fairlead/nat/plan"
	"fairlead/nat/ruleset"
)

// racer is a table in which another program adds and deletes an element all the time, and is
// always ahead of the agent.
type racer struct {
	*counting
	element ruleset.Element
	times   int // that it will be ahead
}

func (r *racer) change(ctx context.Context, verb ruleset.Verb) error {
	return r.Table.Commit(ctx, ruleset.Batch{{Verb: verb, Element: r.element}})
}

// Commit does what the batch does about the element before the batch, which is then refused,
// and undoes it.
func (r *racer) Commit(ctx context.Context, b ruleset.Batch) error {
	i := slices.IndexFunc(b, func(o ruleset.Op) bool { return o.Element.Key == r.element.Key && o.Element.Set == r.element.Set })
	if i < 0 || r.times == 0 {
		return r.spoiler.Commit(ctx, b)
	}
	r.times--
	if b[i].Verb == ruleset.DeleteElement {
		return errors.Join(r.change(ctx, ruleset.DeleteElement), r.spoiler.Commit(ctx, b), r.change(ctx, ruleset.AddElement))
	}
	return errors.Join(r.change(ctx, ruleset.AddElement), r.spoiler.Commit(ctx, b), r.change(ctx, ruleset.DeleteElement))
}

// TestReread has another program be ahead of the agent when that deletes an element, or adds
// one. The element is read again and nothing else, up to eight times in a row; nothing is set
// aside, and a change of ours that is in the same batch is written.
func TestReread(t *testing.T) {
	foreign := ruleset.Element{Set: ruleset.VerdictsOf(vip(200)), Key: vip(200), Verdict: ruleset.VerdictDrop}
	ours := ruleset.Element{Set: ruleset.VerdictsOf(vip(7)), Key: vip(7), Verdict: ruleset.VerdictDrop}
	for _, tt := range []struct {
		name        string
		element     ruleset.Element
		verb        ruleset.Verb
		times, full int
	}{
		{"deletes once", foreign, ruleset.AddElement, 1, 0},
		{"deletes often", foreign, ruleset.AddElement, 8, 0},
		{"deletes more often", foreign, ruleset.AddElement, 9, 1},
		{"adds once", ours, ruleset.DeleteElement, 1, 0},
		{"adds often", ours, ruleset.DeleteElement, 8, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSpoiler(t)
			r := &racer{counting: &counting{spoiler: s}, element: tt.element}
			state := plan.NewState()
			state.Configure(nattest.Settings())
			for i := range 20 {
				state.Set(vip(i+1), cluster(3))
			}
			a := apply.New(r, state)
			round(t, a)
			r.full, r.times = 0, tt.times
			if err := r.change(t.Context(), tt.verb); err != nil {
				t.Fatal(err)
			}
			s.Name(ruleset.Batch{{Verb: tt.verb, Element: tt.element}})
			a.DistrustPart(nat.Elements)
			state.Set(vip(1), cluster(5))
			if refused, chains := round(t, a); len(refused)+len(chains) > 0 || r.full != tt.full || r.times > 0 {
				t.Errorf("refused %v %v, %d loads of everything, want %d", refused, chains, r.full, tt.full)
			}
			settled(t, s, state, 20)
		})
	}
}
