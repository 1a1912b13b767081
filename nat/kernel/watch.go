// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"context"
	"fmt"

	"golang.org/x/sys/unix"

	"fairlead/internal/nft"
	"fairlead/internal/nl"
	"fairlead/nat/ruleset"
)

// Watch calls poke when another program has changed the table, or may have: once
// as soon as it listens, for everything before, and when the kernel dropped
// notifications that were not read in time. It returns nil when ctx is done. poke
// must not block.
func (t *Table) Watch(ctx context.Context, poke func()) error {
	socket, err := dial(t.ns, unix.NFNLGRP_NFTABLES)
	if err != nil {
		return fmt.Errorf("watch nftables: %w", err)
	}
	defer func() { _ = socket.Close() }()
	changed := false
	err = socket.Listen(ctx,
		func(r nl.Reply) { changed = changed || t.concerns(r) },
		func() {
			if changed {
				poke()
			}
			changed = false
		}, poke)
	if err != nil {
		return fmt.Errorf("watch nftables: %w", err)
	}
	return nil
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
