// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"fairlead/internal/nft"
	"fairlead/internal/nl"
	"fairlead/nat"
	"fairlead/nat/ruleset"
)

// checkInterval is the time between two checks for changes that no notification told.
const checkInterval = 10 * time.Second

// Watch calls poke when another program has changed the table, or may have: once
// as soon as it listens, for everything before; when the kernel dropped notifications
// that were not read in time; and when a notification is missing, which Watch finds by
// the number of the last transaction within 20 s. The writer is zero where it is not
// known. One call stands for all transactions that were read together. Watch returns nil when ctx is done. poke must not block, and may be called by
// two goroutines.
func (t *Table) Watch(ctx context.Context, poke func(nat.Writer)) error {
	return t.watch(ctx, poke, checkInterval, unix.NFNLGRP_NFTABLES)
}

func (t *Table) watch(ctx context.Context, poke func(nat.Writer), every time.Duration, groups ...uint32) error {
	socket, err := t.listener(groups...)
	if err != nil {
		return fmt.Errorf("watch nftables: %w", err)
	}
	defer func() { _ = socket.Close() }()
	requests, err := t.dial()
	if err != nil {
		return fmt.Errorf("watch nftables: %w", err)
	}
	defer func() { _ = requests.Close() }()
	w := watcher{table: t, poke: poke}
	// The socket listens already, so each later generation is announced to it.
	now, err := generation(requests)
	if err != nil {
		return fmt.Errorf("watch nftables: %w", err)
	}
	w.seen.Store(now)
	ctx, cancel := context.WithCancel(ctx)
	var checks sync.WaitGroup
	checks.Go(func() { w.check(ctx, requests, every) })
	err = socket.Listen(ctx, w.notified, w.read, w.lost)
	cancel()
	checks.Wait()
	if err != nil {
		return fmt.Errorf("watch nftables: %w", err)
	}
	return nil
}

// watcher follows the notifications of one Watch.
type watcher struct {
	table *Table
	poke  func(nat.Writer)
	// changed is what another program changed in our table since the last notification about
	// a generation, which ends a transaction and names its author.
	changed nat.Scope
	// by is the author of the transactions that were read since the last poke, the last one
	// of them, with what all of them changed.
	by nat.Writer
	// seen is the newest generation that was announced.
	seen atomic.Uint32
}

func (w *watcher) notified(r nl.Reply) {
	if nft.Kind(r) != unix.NFT_MSG_NEWGEN {
		if w.table.concerns(r) {
			w.changed |= w.scope(r)
		}
		return
	}
	w.see(nft.ReadGeneration(r))
	if w.changed != 0 {
		w.by.Name, w.by.PID = nft.ReadWriter(r)
		w.by.Changed |= w.changed
	}
	w.changed = 0
}

// read pokes once for all transactions that were read together.
func (w *watcher) read() {
	if w.by.Changed != 0 {
		w.poke(w.by)
	}
	w.by = nat.Writer{}
}

// lost handles notifications that are missing.
func (w *watcher) lost() {
	w.changed, w.by = 0, nat.Writer{}
	w.poke(nat.Writer{})
}

// see notes a generation and reports whether it is newer than those seen before. The
// numbers wrap around.
func (w *watcher) see(id uint32) bool {
	for {
		seen := w.seen.Load()
		if int32(id-seen) <= 0 {
			return false
		}
		if w.seen.CompareAndSwap(seen, id) {
			return true
		}
	}
}

// check pokes for generations that were not announced, until ctx is done. A
// notification may take as long as the time between two checks.
func (w *watcher) check(ctx context.Context, requests *nl.Socket, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	last := w.seen.Load() // the generation at the last check
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if w.see(last) {
			w.poke(nat.Writer{})
		}
		if id, err := generation(requests); err == nil { // an error says nothing about the table
			last = id
		}
	}
}

// concerns reports whether a notification is about a change of our table by
// another program.
func (t *Table) concerns(r nl.Reply) bool {
	return r.Port != t.port.Load() && nft.TableOf(r) == self && !isRoutine(r)
}

// scope returns what a notification about our table says that has changed. It names the
// elements.
func (w *watcher) scope(r nl.Reply) nat.Scope {
	switch nft.Kind(r) {
	case unix.NFT_MSG_NEWRULE, unix.NFT_MSG_DELRULE, unix.NFT_MSG_NEWCHAIN, unix.NFT_MSG_DELCHAIN:
		return nat.Rules
	case unix.NFT_MSG_NEWSETELEM, unix.NFT_MSG_DELSETELEM:
		if set, ours := ruleset.SetNamed(nft.SetOf(r)); ours {
			nft.ElementKeys(r, func(key []byte) { w.table.names.add(set, key) })
		}
		return nat.Elements
	}
	return nat.Everything
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
