// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package inspect reads the kernel for the commands that show and explain what is
// there. It writes nothing to the kernel and needs no running agent.
package inspect

import (
	"context"
	"errors"
	"fmt"

	"fairlead/nat/kernel"
	"fairlead/nat/listing"
	"fairlead/nat/ruleset"
)

// ErrNoTable says that nothing is programmed.
var ErrNoTable = errors.New("this network namespace has no table inet " + ruleset.TableName +
	": run the command in the network namespace of the node, and check that the agent runs")

// LoadTable reads the table in the network namespace of the process, with counters and
// lifetimes. It needs CAP_NET_ADMIN. A table that does not exist is an error.
func LoadTable(ctx context.Context) (*listing.Table, error) {
	k, err := kernel.Open(nil)
	if err != nil {
		return nil, fmt.Errorf("open table: %w", err)
	}
	defer func() { _ = k.Close() }()
	found, err := k.Load(ctx)
	if err != nil {
		return nil, err
	}
	if !found.Exists {
		return nil, ErrNoTable
	}
	t := &listing.Table{Found: found, Entries: map[ruleset.Set][]ruleset.Entry{}}
	for _, set := range listing.LiveSets(found) {
		if t.Entries[set], err = k.LoadEntries(ctx, set); err != nil {
			return nil, err
		}
	}
	return t, nil
}
