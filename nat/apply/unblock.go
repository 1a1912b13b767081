// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"fairlead/nat"
	"fairlead/nat/plan"
	"fairlead/nat/ruleset"
)

// maxUnblocks bounds the batches of Unblock: three are enough unless another program keeps
// changing the table.
const maxUnblocks = 6

// Unblock removes what may keep this node from the API server, see plan.Unblock and
// plan.UnblockElements, and reads the table as Load does. It serves until the first Round,
// and writes nothing if nothing is wrong. It reads elements at first, and whenever they may
// have changed. Its result counts even if it returns an error.
func (a *Applier) Unblock(ctx context.Context, set *nat.Settings) (Result, error) {
	var r Result
	whole := !a.loaded || a.distrusted&^nat.Rules != 0
	if err := a.unblockRules(ctx, set, &r); err != nil || !whole {
		return r, err
	}
	return r, a.unblockElements(ctx, &r)
}

func (a *Applier) unblockRules(ctx context.Context, set *nat.Settings, r *Result) error {
	for range maxUnblocks {
		found, err := a.readRules(ctx)
		if err != nil {
			return fmt.Errorf("read chains and rules: %w", err)
		}
		r.Loads++
		batch, drift := plan.Unblock(found, set)
		if len(batch) == 0 {
			return nil
		}
		if err := a.unblock(ctx, batch, drift, r); err != nil {
			return err
		}
	}
	return errContested
}

func (a *Applier) unblockElements(ctx context.Context, r *Result) error {
	for range maxUnblocks {
		found, err := a.loadWhole(ctx, r)
		if err != nil {
			return err
		}
		batch, drift := plan.UnblockElements(found)
		if len(batch) == 0 {
			return nil
		}
		for part := range slices.Chunk(batch, ruleset.DefaultLimit) {
			if err := a.unblock(ctx, part, drift, r); err != nil {
				return err
			}
			drift = nil // counts once
		}
	}
	return errContested
}

var errContested = errors.New("another program keeps changing the table")

// unblock commits a batch of which the state does not know.
func (a *Applier) unblock(ctx context.Context, batch ruleset.Batch, drift plan.Drift, r *Result) error {
	err := a.table.Commit(ctx, batch)
	if a.loaded {
		a.Distrust()
		a.guessed, a.drift = true, nil // or it would be reported twice
	}
	switch {
	case err == nil:
		r.Commits = append(r.Commits, a.counter.commit(batch))
		r.Repaired.Merge(drift)
	case !errors.Is(err, nat.ErrDrift): // or the table has changed since it was read
		return err
	}
	return nil
}

// readRules reads the table without its elements, if that can be done.
func (a *Applier) readRules(ctx context.Context) (*ruleset.Snapshot, error) {
	if table, can := a.table.(partsTable); can {
		return table.LoadRules(ctx)
	}
	return a.table.Load(ctx)
}
