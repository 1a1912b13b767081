// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"fairlead/internal/nft"
	"fairlead/nat/ruleset"
)

// LoadEntries reads one map with its counters and lifetimes, for people to read. It
// leaves out elements that no batch and no rule of the table writes. It is for maps
// of backends and of session affinity; a map that does not exist has no entries.
func (t *Table) LoadEntries(ctx context.Context, set ruleset.Set) ([]ruleset.Entry, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var out []ruleset.Entry
	err := gather(t.socket, set, 0, func() { out = nil }, func(el *nft.Element) {
		if e, ok := decode(set, el); ok || set.Spec().Learnt && e != (ruleset.Element{}) {
			out = append(out, ruleset.Entry{
				Element: e, Packets: el.Packets, Bytes: el.Bytes,
				Timeout: time.Duration(el.Timeout) * time.Millisecond, Expires: time.Duration(el.Expires) * time.Millisecond,
			})
		}
	})
	if errors.Is(err, unix.ENOENT) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list elements of %s: %w", set, classify(err))
	}
	return out, nil
}

// PutEntries adds entries to an affinity map, which must exist, with what is left of their
// lifetimes. It leaves out those that have none left.
func (t *Table) PutEntries(ctx context.Context, set ruleset.Set, list []ruleset.Entry) error {
	var entries []entry
	for i := range list {
		e := &list[i]
		timeout, left := e.Timeout.Milliseconds(), e.Expires.Milliseconds()
		if timeout > 0 && left > 0 {
			entries = append(entries, entry{
				key: string(appendKey(nil, &e.Element, false)), data: string(appendData(nil, e.Data, e.Set.Spec().Data)),
				timeout: uint64(timeout), expires: uint64(min(left, timeout)),
			})
		}
	}
	for part := range slices.Chunk(entries, ruleset.DefaultLimit) {
		if err := ctx.Err(); err != nil {
			return err
		}
		t.out.BeginTransaction(unix.NFNL_SUBSYS_NFTABLES)
		encodeEntries(&t.out, set, part)
		var refused error
		err := errors.Join(t.out.Err(), t.transact(&t.out, func(_ int, err error) { refused = err }))
		if err := errors.Join(err, refused); err != nil {
			return fmt.Errorf("add %d elements to %s: %w", len(part), set, classify(err))
		}
	}
	return nil
}
