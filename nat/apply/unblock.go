// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"context"
	"errors"
	"fmt"

	"fairlead/nat"
	"fairlead/nat/plan"
	"fairlead/nat/ruleset"
)

// maxUnblocks bounds the batches of Unblock: three are enough unless another program keeps
// changing the table.
const maxUnblocks = 6

// Unblock removes what may keep this node from the API server, see plan.Unblock. It serves
// until the first Round, and writes nothing if nothing is wrong. Its result counts even if
// it returns an error.
func (a *Applier) Unblock(ctx context.Context, set *nat.Settings) (Result, error) {
	var r Result
	for range maxUnblocks {
		found, err := a.readRules(ctx)
		if err != nil {
			return r, fmt.Errorf("read chains and rules: %w", err)
		}
		r.Loads++
		batch, drift := plan.Unblock(found, set)
		if len(batch) == 0 {
			return r, nil
		}
		err = a.table.Commit(ctx, batch)
		if a.loaded { // the state does not know of this batch
			a.Distrust()
			a.guessed = true
		}
		switch {
		case err == nil:
			r.Commits = append(r.Commits, a.counter.commit(batch))
			r.Repaired.Merge(drift)
		case !errors.Is(err, nat.ErrDrift): // or the table has changed since it was read
			return r, err
		}
	}
	return r, errors.New("another program keeps changing the table")
}

// readRules reads the table without its elements, if that can be done.
func (a *Applier) readRules(ctx context.Context) (*ruleset.Snapshot, error) {
	if table, can := a.table.(partsTable); can {
		return table.LoadRules(ctx)
	}
	return a.table.Load(ctx)
}
