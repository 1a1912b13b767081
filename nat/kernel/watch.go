// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"cmp"
	"context"
	"fmt"
	"slices"
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
// the number of the last transaction within 20 s, and at once after a large batch. The writer is
// zero where it is not known. One call stands for all transactions that were read together.
// Watch returns nil when ctx is done. poke must not block, and may be called by several goroutines, that of Commit
// among them.
func (t *Table) Watch(ctx context.Context, poke func(nat.Writer)) error {
	return t.watch(ctx, poke, checkInterval, unix.NFNLGRP_NFTABLES)
}

func (t *Table) watch(parent context.Context, poke func(nat.Writer), every time.Duration, groups ...uint32) error {
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
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	w := &watcher{table: t, poke: poke, requests: requests}
	w.listener = listener{
		socket: socket, group: slices.Contains(groups, unix.NFNLGRP_NFTABLES),
		silent: w.silent, crowded: w.crowded, missed: w.missed, end: cancel, refused: t.refusals.add,
	}
	t.watchers.add(&w.listener)
	defer t.watchers.remove(&w.listener)
	// The socket listens already, so each later generation of others is announced to it.
	began, err := t.madeByOthers(requests)
	if err != nil {
		return fmt.Errorf("watch nftables: %w", err)
	}
	w.began.Store(began)
	var checks sync.WaitGroup
	checks.Go(func() { w.check(ctx, every) })
	err = socket.Listen(ctx, w.notified, w.read, w.lost)
	if parent.Err() == nil {
		err = cmp.Or(err, context.Cause(ctx)) // of listener.end
	}
	cancel(nil)
	checks.Wait()
	if err != nil {
		return fmt.Errorf("watch nftables: %w", err)
	}
	return nil
}

// watcher follows the notifications of one Watch.
type watcher struct {
	table    *Table
	poke     func(nat.Writer)
	requests *nl.Socket // for madeByOthers alone
	listener listener
	// changed is what another program changed in our table since the last notification about
	// a generation, which ends a transaction and names its author.
	changed nat.Scope
	// by is the author of the transactions that were read since the last poke, the last one
	// of them, with what all of them changed.
	by nat.Writer
	// announced is how many generations of others were announced, and began is what
	// Table.madeByOthers was when none was. The table counts the transactions of the AffinityCleaner
	// as its own, and those of other sockets of this process as others'.
	announced atomic.Uint32
	began     atomic.Uint32
	// checked is what announced was at the last check.
	checked atomic.Uint32
	// overrun is set if notifications may be missing since the last check.
	overrun atomic.Bool
	// listens is set when Listen has begun.
	listens bool
}

func (w *watcher) notified(r nl.Reply) {
	if nft.Kind(r) != unix.NFT_MSG_NEWGEN {
		if w.table.concerns(r) {
			w.changed |= w.scope(r)
		}
		return
	}
	if !w.table.watchers.isOurs(r.Port) {
		w.announced.Add(1)
	}
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
	w.overrun.Store(w.listens)
	w.listens = true
	w.poke(nat.Writer{})
}

// silent is listener.silent.
func (w *watcher) silent() (uint32, error) {
	made, err := w.table.madeByOthers(w.requests)
	return made - w.began.Load() - w.announced.Load(), err
}

// crowded is listener.crowded.
func (w *watcher) crowded() bool { return w.announced.Load()-w.checked.Load() >= crowd }

// missed pokes for transactions of others that were not heard.
func (w *watcher) missed() {
	w.overrun.Store(true)
	w.poke(nat.Writer{})
}

// check pokes for generations of others that were not announced, until ctx is done. A
// notification may take as long as the time between two checks. While others change tables all
// the time, those that are announced meanwhile stand in for a missing one until they pause.
func (w *watcher) check(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	var made uint32 // by others, up to the last check
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		known := w.overrun.Swap(false) // and poked for
		announced := w.announced.Load()
		w.checked.Store(announced)
		missing := int32(made - announced)
		n, err := w.table.madeByOthers(w.requests)
		began := w.began.Load()
		if err == nil { // an error says nothing about the table
			if made == n-began {
				w.listener.disturbed.Store(false)
			}
			made = n - began
		}
		// A transaction of ours that had nothing to do makes no generation.
		if missing > 0 || known || int32(announced-made) > 0 {
			w.began.Store(began + made - announced)
			made = announced
		}
		if missing > 0 && !known {
			w.poke(nat.Writer{})
		}
	}
}

// concerns reports whether a notification is about a change of our table by
// another program.
func (t *Table) concerns(r nl.Reply) bool {
	return r.Port != t.watchers.port.Load() && nft.TableOf(r) == self && !isRoutine(r)
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
