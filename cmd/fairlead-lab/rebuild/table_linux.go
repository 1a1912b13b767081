// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package rebuild

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/nftables/expr"

	"fairlead/internal/nft"
	"fairlead/nat/kernel"
	"fairlead/nat/ruleset"
)

// addTable writes the table as the kernel of the bundle had it.
func (n *Node) addTable(ctx context.Context) error {
	if n.Bundle.Table == nil {
		return nil
	}
	r, err := n.Bundle.Table.Restore()
	if err != nil {
		return err
	}
	n.LeftOut = append(n.LeftOut, r.LeftOut...)
	k, err := kernel.Open(n.NS)
	if err != nil {
		return err
	}
	defer func() { _ = k.Close() }()
	for _, b := range r.Batches {
		if err := n.commit(ctx, k, b); err != nil {
			return err
		}
	}
	for set, list := range r.Clients {
		if err := k.PutEntries(ctx, set, list); err != nil {
			return err
		}
	}
	return nil
}

// commit commits a batch. If the kernel refuses a chain, it is tried once more without the
// rules that only another program can have made.
func (n *Node) commit(ctx context.Context, k *kernel.Table, b ruleset.Batch) error {
	err := k.Commit(ctx, b)
	var refused *ruleset.RefusedError
	if !errors.As(err, &refused) {
		return err
	}
	again := slices.Clone(b)
	left := 0
	for _, r := range refused.Refusals {
		if r.Index == ruleset.Whole || again[r.Index].Verb != ruleset.AddChain {
			continue
		}
		c := again[r.Index].Chain
		own := withoutForeign(c)
		if dropped := len(c.Rules) - len(own.Rules); dropped > 0 {
			left += dropped
			again[r.Index].Chain = own
			n.leaveOut("%d rules of chain %s are left out, because this kernel refuses them: %v.", dropped, c.Name, r.Err)
		}
	}
	if left == 0 {
		return err
	}
	if err := k.Commit(ctx, again); err != nil {
		return fmt.Errorf("without the rules of other programs: %w", err)
	}
	return nil
}

// withoutForeign returns a chain without the rules that have an expression which no rule of
// fairlead has.
func withoutForeign(c *ruleset.Chain) *ruleset.Chain {
	out := &ruleset.Chain{Name: c.Name, Hook: c.Hook}
	for i := range c.Rules {
		foreign := slices.ContainsFunc(c.Rules[i].Exprs, func(e expr.Any) bool { _, ok := e.(*nft.Foreign); return ok })
		if !foreign {
			out.AddRule(c.Rules[i].Exprs)
		}
	}
	return out
}
