// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"context"
	"fmt"

	"golang.org/x/sys/unix"

	"fairlead/internal/nft"
	"fairlead/internal/nl"
	"fairlead/nat"
	"fairlead/nat/ruleset"
)

// Watch calls poke when another program has changed the table, or may have: once
// as soon as it listens, for everything before, and when the kernel dropped
// notifications that were not read in time. The writer is zero where it is not known.
// Watch returns nil when ctx is done. poke must not block.
func (t *Table) Watch(ctx context.Context, poke func(nat.Writer)) error {
	socket, err := dial(t.ns, unix.NFNLGRP_NFTABLES)
	if err != nil {
		return fmt.Errorf("watch nftables: %w", err)
	}
	defer func() { _ = socket.Close() }()
	w := watcher{table: t, poke: poke}
	if err := socket.Listen(ctx, w.notified, nil, w.lost); err != nil {
		return fmt.Errorf("watch nftables: %w", err)
	}
	return nil
}

// watcher follows the notifications of one Watch.
type watcher struct {
	table *Table
	poke  func(nat.Writer)
	// changed is set from a change of our table by another program until the
	// notification about the generation, which ends its transaction and names it.
	changed bool
}

func (w *watcher) notified(r nl.Reply) {
	if nft.Kind(r) != unix.NFT_MSG_NEWGEN {
		w.changed = w.changed || w.table.concerns(r)
		return
	}
	if w.changed {
		name, pid := nft.ReadWriter(r)
		w.poke(nat.Writer{Name: name, PID: pid})
	}
	w.changed = false
}

// lost handles notifications that are missing.
func (w *watcher) lost() {
	w.changed = false
	w.poke(nat.Writer{})
}

// concerns reports whether a notification is about a change of our table by
// another program.
func (t *Table) concerns(r nl.Reply) bool {
	return r.Port != t.port.Load() && nft.TableOf(r) == self && !isRoutine(r)
}

// isRoutine reports whether a notification is about elements that leave an affinity
// map: the cleaner deletes them. Packets add elements without a notification, so
// one about a new element means that another program forged it.
func isRoutine(r nl.Reply) bool {
	if nft.Kind(r) != unix.NFT_MSG_DELSETELEM {
		return false
	}
	set, ok := ruleset.SetNamed(nft.SetOf(r))
	return ok && set.Spec().Learnt
}
