// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package apply brings the kernel towards the plan, one bounded round at a time:
// plan a step, commit it, record it. It decides what follows a refusal: which
// frontend or chain is to blame, and when the table has to be read again.
package apply

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"fairlead/nat"
	"fairlead/nat/plan"
	"fairlead/nat/ruleset"
)

// maxReloads bounds the loads between two commits. A frontend is to blame for a table
// that is never as expected: EEXIST and EBUSY may be refusals, too.
const maxReloads = 2

// Load reads the table if that was not done yet, so that the state knows what the
// kernel has before anything is wanted.
func (a *Applier) Load(ctx context.Context) (Result, error) {
	var r Result
	if a.loaded {
		return r, nil
	}
	return r, a.load(ctx, &r)
}

// Round commits the next batch, so that the caller can look for newer changes before the
// one that follows. Its result counts even if it returns an error. That is nat.ErrDrift when
// another program keeps changing what was repaired; wait before the next Round then.
func (a *Applier) Round(ctx context.Context) (Result, error) {
	var r Result
	if a.distrusted != 0 {
		if err := a.load(ctx, &r); err != nil {
			return r, err
		}
	}
	if err := a.assume(ctx, &r); err != nil {
		return r, err
	}
	if err := a.replace(ctx, &r); err != nil {
		return r, err
	}
	if err := a.ask(ctx, &r); err != nil {
		return r, err
	}
	for {
		step := a.next()
		if step == nil {
			a.settled()
			a.unsettled = 0
			return r, nil
		}
		for _, b := range step.Blocked {
			a.refuse(&r, b.Frontend, errNeeds(&b))
		}
		busy := len(step.Batch) > 0
		err := a.commit(ctx, step, &r)
		if err != nil {
			err = a.blame(ctx, step, err, &r)
		}
		if err != nil {
			return r, err
		}
		if busy && a.more() {
			r.More = true
			return r, nil
		}
	}
}

// more reports whether there is another step, which it does not plan where a question may come
// before it; see ask.
func (a *Applier) more() bool {
	return a.state.Begun() || a.state.Pending() > 0 || a.next() != nil
}

func (a *Applier) next() *plan.Step {
	switch a.narrow {
	case 0:
		return a.state.Next(a.limit)
	case 1:
		return a.state.NextSingle()
	}
	return a.state.Next(a.narrow)
}

// commit carries out a step. One without operations, of a frontend that was deleted
// before it was in the kernel, only changes the state.
func (a *Applier) commit(ctx context.Context, step *plan.Step, r *Result) error {
	if len(step.Batch) > 0 {
		if err := a.table.Commit(ctx, step.Batch); err != nil {
			return err
		}
		r.Commits = append(r.Commits, a.counter.commit(step.Batch))
		r.Repaired.Merge(a.drift)
		a.settled()
		a.since++
		a.widen(step)
	}
	a.state.Acked(step)
	r.Changed = append(r.Changed, step.Keys()...)
	r.Unstick = append(r.Unstick, step.Unstick()...)
	a.state.Recycle(step)
	return nil
}

// widen makes steps larger again while something is searched for. After a chain alone comes
// what jumps to it, which may be what the kernel refuses, so that is tried alone as well.
func (a *Applier) widen(step *plan.Step) {
	if a.narrow == 1 && step.Batch[0].Verb == ruleset.AddChain {
		return
	}
	if a.narrow *= 2; a.narrow >= a.limit {
		a.narrow = 0
	}
}

// blame decides what follows a failed commit. It returns nil if the round can go on
// without what the kernel refused.
func (a *Applier) blame(ctx context.Context, step *plan.Step, err error, r *Result) error {
	switch {
	case errors.Is(err, nat.ErrLost):
		a.Distrust()
		a.guessed = true
		return err
	case ctx.Err() != nil || isGeneral(err):
		return err
	case errors.Is(err, nat.ErrTooLarge) && a.limit > ruleset.DefaultLimit:
		a.limit /= 2
		return nil
	case errors.Is(err, nat.ErrDrift) && a.reread(ctx, step, err, r):
		return nil
	case errors.Is(err, nat.ErrDrift) && a.unsettled > 1 && a.since > 0:
		a.Distrust()
		return err // another program is faster, so the caller waits
	case errors.Is(err, nat.ErrDrift) && a.reloads < maxReloads:
		a.reloads++
		a.Distrust()
		return a.load(ctx, r)
	}
	if a.setAside(culprits(step, err, a.narrow == 1), r) {
		return nil
	}
	if !isNamed(err) && a.narrow != 1 {
		last := cmp.Or(a.narrow, a.limit)
		a.narrow = max(min(step.Cost(), last)/2, 1)
		return nil
	}
	if !isNamed(err) && len(step.Batch) == 1 {
		err = fmt.Errorf("%s: %w", step.Batch[0].String(), err)
	}
	a.Distrust()
	a.narrow = 0 // something that all frontends share
	return err
}
