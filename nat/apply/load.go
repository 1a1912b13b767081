// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"

	"fairlead/nat"
	"fairlead/nat/plan"
	"fairlead/nat/ruleset"
)

// partsTable is a Table of which parts can be read; see kernel.Table for the contract.
type partsTable interface {
	LoadRules(ctx context.Context) (*ruleset.Snapshot, error)
	LoadNamed(ctx context.Context) (*ruleset.Named, error)
	Name(b ruleset.Batch)
}

// mostTable is a Table that need not be read whole at first; see kernel.Table for the contract.
type mostTable interface {
	partsTable
	LoadMost(ctx context.Context) (*ruleset.Snapshot, error)
	Holds(ctx context.Context, elements []ruleset.Element) (bool, error)
	Count(ctx context.Context, s ruleset.Set) (n int, counts bool, err error)
}

// read reads the table. The first time it leaves out what the rest of the table tells.
func (a *Applier) read(ctx context.Context) (*ruleset.Snapshot, error) {
	if table, can := a.table.(mostTable); can && !a.loaded {
		return table.LoadMost(ctx)
	}
	return a.table.Load(ctx)
}

// load makes the state know what the kernel has; the next steps mend exactly the
// difference. It reads no more than what is distrusted, if that is possible.
func (a *Applier) load(ctx context.Context, r *Result) error {
	if done, err := a.loadParts(ctx, r); done || err != nil {
		return err
	}
	a.unsettled++
	_, err := a.loadWhole(ctx, r)
	return err
}

// loadWhole is load for the whole table. It returns what it found.
func (a *Applier) loadWhole(ctx context.Context, r *Result) (*ruleset.Snapshot, error) {
	found, err := a.read(ctx)
	if err != nil {
		return nil, fmt.Errorf("read what the kernel has: %w", err)
	}
	if drift := a.state.Adopt(found); a.loaded && !a.guessed { // the first one is what happened before this process
		a.drift.Merge(drift)
	}
	r.Missing = r.Missing || !found.Exists
	a.guessed = false
	if !a.loaded {
		a.transitions = transitionTries
	}
	a.gone = a.loaded && !found.Exists
	a.distrusted, a.loaded, a.since = 0, true, 0
	r.Loads++
	return found, nil
}

// askedTable is a Table of which one can ask whether it is there; see kernel.Table for the contract.
type askedTable interface {
	Exists(ctx context.Context) (bool, error)
}

// ask looks whether a table that was missing, and whose first part is made, is still there. To
// put the rest in order takes a thousand times as long, and would be in vain where another program
// deletes the table as soon as it is there. Without an answer the next batch tells.
func (a *Applier) ask(ctx context.Context, r *Result) error {
	table, can := a.table.(askedTable)
	if !can || !a.gone || !a.state.Begun() {
		return nil
	}
	if there, err := table.Exists(ctx); err != nil || there {
		return nil
	}
	a.Distrust()
	if a.unsettled > 1 {
		return fmt.Errorf("the table is missing again: %w", nat.ErrDrift) // so the caller waits
	}
	return a.load(ctx, r)
}

// loadParts is load for chains and rules, and for elements that were named. It reports false
// if more than these has to be read.
func (a *Applier) loadParts(ctx context.Context, r *Result) (bool, error) {
	table, can := a.table.(partsTable)
	if !a.loaded || a.guessed || !can || a.distrusted&nat.Everything != 0 {
		return false, nil
	}
	if a.distrusted&nat.Rules != 0 {
		found, err := table.LoadRules(ctx)
		if err != nil {
			return false, fmt.Errorf("read chains and rules: %w", err)
		}
		if !a.merge(a.state.AdoptRules(found)) {
			return false, nil
		}
		a.distrusted &^= nat.Rules
		r.Loads++
	}
	if a.distrusted&nat.Elements != 0 {
		return a.loadNamed(ctx, table, r)
	}
	return true, nil
}

// loadNamed adopts elements that were named. It reports false if everything has to be read.
func (a *Applier) loadNamed(ctx context.Context, table partsTable, r *Result) (bool, error) {
	found, err := table.LoadNamed(ctx)
	if err == nil && a.merge(a.state.AdoptNamed(found)) {
		a.distrusted &^= nat.Elements
		r.Reads++
		return true, nil
	}
	a.Distrust()
	if err == nil || errors.Is(err, nat.ErrTooLarge) || errors.Is(err, nat.ErrDrift) {
		return false, nil
	}
	return false, fmt.Errorf("read elements: %w", err)
}

// merge notes what a reading found. It returns ok.
func (a *Applier) merge(drift plan.Drift, ok bool) bool {
	if ok {
		a.drift.Merge(drift)
	}
	return ok
}

// maxRereads bounds how often refused elements are read again between two commits. Another
// program that changes one of them 1,000 times a second may get ahead a few times.
const maxRereads = 8

// reread reads elements again that another program has added or deleted since they were read,
// so that the kernel refused to add or to delete them. It reports false if the refusal has
// another reason.
func (a *Applier) reread(ctx context.Context, step *plan.Step, err error, r *Result) bool {
	table, can := a.table.(partsTable)
	var refused *ruleset.RefusedError
	if !can || a.guessed || a.distrusted&nat.Everything != 0 || a.rereads >= maxRereads || !errors.As(err, &refused) {
		return false
	}
	for _, refusal := range refused.Refusals {
		if refusal.Index == ruleset.Whole || !isAhead(&step.Batch[refusal.Index], refusal.Err) {
			return false
		}
		table.Name(runOf(step.Batch, refusal.Index))
	}
	a.rereads++
	ok, err := a.loadNamed(ctx, table, r)
	return ok && err == nil
}

// isAhead reports whether an operation was refused because another program did the same.
func isAhead(op *ruleset.Op, err error) bool {
	return op.Verb == ruleset.AddElement && errors.Is(err, syscall.EEXIST) || op.Verb == ruleset.DeleteElement && errors.Is(err, syscall.ENOENT)
}

// runOf returns the operations that share a message with one about an element, from that one
// on.
func runOf(b ruleset.Batch, i int) ruleset.Batch {
	first := &b[i]
	n := slices.IndexFunc(b[i:], func(o ruleset.Op) bool {
		return o.Verb != first.Verb || o.Element.Set != first.Element.Set || o.Element.Key != first.Element.Key
	})
	if n < 0 {
		return b[i:]
	}
	return b[i : i+n]
}
