// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"context"
	"errors"
	"slices"

	"fairlead/internal/inet"
	"fairlead/nat"
	"fairlead/nat/plan"
	"fairlead/nat/ruleset"
)

// replace replaces the table of another version, which the first load found, so that no
// packet meets half of each. Frontends that the kernel refuses are left out. If it cannot
// be done in one transaction, the batches that follow do it step by step.
func (a *Applier) replace(ctx context.Context, r *Result) error {
	for a.transitions > 0 {
		a.transitions--
		t := a.state.Transition()
		if t == nil {
			a.transitions = 0
			break
		}
		batch, err := a.carryOut(ctx, t, r)
		if err == nil {
			a.transitions = 0
			a.replaced(t, r)
			break
		}
		a.Distrust()
		a.guessed = true
		if ctx.Err() != nil || isGeneral(err) || errors.Is(err, nat.ErrLost) {
			a.transitions++
			return err
		}
		if err := a.load(ctx, r); err != nil {
			a.transitions++
			return err
		}
		refused := refusedFrontends(batch, err)
		for _, key := range refused {
			a.refuse(r, key, err)
		}
		if len(refused) == 0 && !errors.Is(err, nat.ErrDrift) || a.transitions == 0 {
			a.transitions, r.Stepwise = 0, err
		}
	}
	return nil
}

// carryOut commits the batches of a transition. It returns the one that failed.
func (a *Applier) carryOut(ctx context.Context, t *plan.Transition, r *Result) (ruleset.Batch, error) {
	for _, b := range slices.Concat(t.Build, []ruleset.Batch{t.Swap}) {
		if len(b) == 0 {
			continue
		}
		if err := a.table.Commit(ctx, b); err != nil {
			return b, err
		}
		r.Commits = append(r.Commits, a.counter.commit(b))
	}
	return nil, nil
}

func (a *Applier) replaced(t *plan.Transition, r *Result) {
	r.Replaced += t.Size()
	r.Repaired.Merge(a.drift)
	a.settled()
	r.Changed = append(r.Changed, t.Changed...)
	r.Unstick = append(r.Unstick, t.Unstick...)
	for _, b := range t.Blocked {
		a.refuse(r, b.Frontend, errNeeds(&b))
	}
}

// refusedFrontends returns the frontends whose new elements the kernel refused.
func refusedFrontends(b ruleset.Batch, err error) []inet.Addr {
	var refused *ruleset.RefusedError
	if !isNamed(err) || !errors.As(err, &refused) {
		return nil
	}
	var keys []inet.Addr
	for i, refusal := range refused.Refusals {
		if refusal.Index == ruleset.Whole || i > 0 && isDrift(refusal.Err) {
			continue // may only follow from an earlier one
		}
		op := &b[refusal.Index]
		if op.Verb != ruleset.AddElement || op.Element.IsMember() || op.Element.Set.Spec().IsInterval() {
			return nil
		}
		if !slices.Contains(keys, op.Element.Key) {
			keys = append(keys, op.Element.Key)
		}
	}
	return keys
}
