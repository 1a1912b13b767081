// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"fairlead/internal/inet"
	"fairlead/internal/nft"
	"fairlead/internal/nl"
	"fairlead/nat"
	"fairlead/nat/ruleset"
)

// Names for the tests outside of the package, which use package plan as well.

// Elements lists a set as the kernel has it.
func (t *Table) Elements(tb testing.TB, s ruleset.Set) []ruleset.Element {
	tb.Helper()
	var out []ruleset.Element
	err := eachElement(t.socket, s, func(el *nft.Element) {
		e, _ := decode(s, el)
		if e == (ruleset.Element{}) {
			tb.Fatalf("undecodable element %x", el.Key)
		}
		out = append(out, e)
	})
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

// Generation returns the number of the last transaction in the namespace.
func (t *Table) Generation(tb testing.TB) uint32 {
	tb.Helper()
	id, err := generation(t.socket)
	if err != nil {
		tb.Fatal(err)
	}
	return id
}

// Lifetimes lists the clients of an affinity map with the time that each has left.
func (t *Table) Lifetimes(tb testing.TB, s ruleset.Set) map[string]time.Duration {
	tb.Helper()
	out := map[string]time.Duration{}
	err := eachElement(t.socket, s, func(el *nft.Element) {
		e, _ := decode(s, el)
		out[e.Client.Addr().String()] = time.Duration(el.Expires) * time.Millisecond
	})
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

// Declarations lists all sets of the table.
func (t *Table) Declarations(tb testing.TB) map[string]nft.Set {
	tb.Helper()
	out := map[string]nft.Set{}
	l := loader{socket: t.socket}
	if err := l.dump("sets", unix.NFT_MSG_GETSET, func(r nl.Reply) { s := nft.ReadSet(r); out[s.Name] = s }); err != nil {
		tb.Fatal(err)
	}
	return out
}

// DeleteElements deletes elements of affinity maps.
func (t *Table) DeleteElements(ctx context.Context, ops ruleset.Batch) (int, error) {
	return t.deleteElements(ctx, ops)
}

// UnheardFrom is the size of a batch that no Watch hears of.
const UnheardFrom = unheardFrom

// Crowd is how many transactions of others let large batches be heard.
const Crowd = crowd

// WatchWith is Watch with another interval between checks. A deaf one gets no
// notifications.
func (t *Table) WatchWith(ctx context.Context, every time.Duration, deaf bool, poke func(nat.Writer)) error {
	if deaf {
		return t.watch(ctx, poke, every)
	}
	return t.watch(ctx, poke, every, unix.NFNLGRP_NFTABLES)
}

// AddEntries writes n entries of an affinity map, as a CarryClients would.
func (t *Table) AddEntries(ctx context.Context, s ruleset.Set, n uint32, at func(i uint32) ruleset.Element) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	entries := make([]entry, n)
	for i := range entries {
		e := at(uint32(i))
		data := appendAddr(nil, e.Data.Addr())
		entries[i] = entry{
			key: string(appendKey(nil, &e, false)), data: string(append(binary.BigEndian.AppendUint16(data, e.Data.Port()), 0, 0)),
			timeout: 3_600_000, expires: 3_600_000,
		}
	}
	t.out.BeginTransaction(unix.NFNL_SUBSYS_NFTABLES)
	encodeEntries(&t.out, s, entries)
	if err := t.socket.Reserve(t.out.Size() + markSize); err != nil {
		return err
	}
	var refused error
	err := t.transact(&t.out, func(_ int, err error) { refused = err })
	return errors.Join(err, refused)
}

// AlwaysAsk makes the table read maps of backends by their keys, however small they are.
func (t *Table) AlwaysAsk() { t.few = 0 }

// NeverAsk makes the table read maps of backends with dumps, however large they are.
func (t *Table) NeverAsk() { t.few = math.MaxUint32 }

// Asked reports whether the table can read a map of backends by its keys alone.
func (t *Table) Asked(tb testing.TB, s ruleset.Set) bool {
	tb.Helper()
	l := loader{socket: t.socket, counts: map[ruleset.Set]uint32{}, found: &ruleset.Snapshot{Sets: map[ruleset.Set]bool{}}}
	err := l.loadSets()
	for _, fam := range inet.Families() {
		for _, k := range []ruleset.Kind{ruleset.VIPs, ruleset.NodePorts} {
			err = errors.Join(err, l.loadSet(ruleset.Set{Kind: k, Family: fam}))
		}
	}
	whole, failed := l.loadSlots(s)
	if err := errors.Join(err, failed); err != nil {
		tb.Fatal(err)
	}
	return whole
}

// Port returns the netlink port that the table commits with.
func (t *Table) Port() uint32 { return t.watchers.port.Load() }
