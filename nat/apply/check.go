// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"context"
	"fmt"

	"fairlead/nat"
	"fairlead/nat/plan"
	"fairlead/nat/ruleset"
)

// assume makes the state decide about what was not read. If the rest of the table does not tell it,
// everything is read.
func (a *Applier) assume(ctx context.Context, r *Result) error {
	if a.state.Assume() {
		return nil
	}
	a.Distrust()
	a.guessed = true
	_, err := a.loadWhole(ctx, r)
	return err
}

// checkedAtOnce is how many elements Check compares. It takes about 3 ms.
const checkedAtOnce = 1024

// Unchecked reports whether Check has something left to do.
func (a *Applier) Unchecked() bool { return a.state.Unchecked() }

// Check compares the next part of what was not read at first with the kernel. It reports whether a
// part differs; then call Round, which mends it. Call Check again until nothing is Unchecked, when no
// Round is due.
func (a *Applier) Check(ctx context.Context) (differs bool, r Result, err error) {
	table, can := a.table.(mostTable)
	if !can || a.distrusted != 0 || !a.state.Unchecked() {
		return a.distrusted != 0, r, nil
	}
	if differs, err = a.check(ctx, table, &r); err != nil {
		a.Distrust()
		return true, r, err
	}
	return differs || a.distrusted != 0, r, nil
}

func (a *Applier) check(ctx context.Context, table mostTable, r *Result) (differs bool, err error) {
	c := a.state.Check(checkedAtOnce)
	if len(c.Elements) == 0 {
		return a.checkRest(ctx, table, &c, r)
	}
	if held, err := table.Holds(ctx, c.Elements); held || err != nil {
		return false, err
	}
	b := make(ruleset.Batch, len(c.Elements))
	for i := range c.Elements {
		b[i] = ruleset.Op{Verb: ruleset.AddElement, Element: c.Elements[i]}
	}
	return a.checkNamed(ctx, table, b, r)
}

// checkRest looks for elements that the state does not know.
func (a *Applier) checkRest(ctx context.Context, table mostTable, c *plan.Check, r *Result) (differs bool, err error) {
	var others ruleset.Batch // for all other keys, which are not counted
	for set, want := range c.Counts {
		n, counts, err := table.Count(ctx, set)
		if err != nil {
			return false, fmt.Errorf("check what was not read: %w", err)
		}
		if !counts || n != want {
			a.Distrust()
			return true, nil
		}
		others = append(others, ruleset.Op{Stray: &ruleset.Stray{Set: set}})
	}
	return a.checkNamed(ctx, table, others, r)
}

// checkNamed has the state adopt these elements as they are.
func (a *Applier) checkNamed(ctx context.Context, table mostTable, b ruleset.Batch, r *Result) (differs bool, err error) {
	table.Name(b)
	a.distrusted |= nat.Elements
	adopted, err := a.loadNamed(ctx, table, r)
	return !adopted || len(a.drift) > 0, err
}
