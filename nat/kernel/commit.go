// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"fairlead/internal/nl"
	"fairlead/nat"
	"fairlead/nat/ruleset"
)

// Commit carries out a batch: one write, one answer. A *ruleset.RefusedError says
// which operations the kernel refused; then it has carried out none. Errors wrap
// nat.ErrDrift, nat.ErrLost or nat.ErrPermission where these explain them.
func (t *Table) Commit(ctx context.Context, b ruleset.Batch) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := t.renew(); err != nil {
		return fmt.Errorf("commit %d operations: %w", len(b), err)
	}
	if err := t.prepare(b); err != nil {
		return fmt.Errorf("commit %d operations: %w", len(b), classify(err))
	}
	refused := &ruleset.RefusedError{}
	transact := func() error {
		return t.transact(&t.out, func(i int, err error) {
			refused.Refusals = append(refused.Refusals, ruleset.Refusal{Index: t.operation(i), Err: err})
		})
	}
	var err error
	if len(b) < unheardFrom {
		err = transact()
	} else {
		err = t.watchers.unheard(transact)
	}
	if t.out.Size() > bufferSize {
		t.out = nl.Messages{} // hardly ever needed again
	}
	if err != nil && !errors.Is(err, nl.ErrTooLarge) && !errors.Is(err, nl.ErrLost) {
		err = fmt.Errorf("%w: %w", nat.ErrLost, err)
	}
	if err == nil && len(refused.Refusals) > 0 {
		if i := refused.Refusals[0].Index; i != ruleset.Whole {
			refused.First = b[i].String()
		}
		err = refused
	}
	if err != nil {
		return fmt.Errorf("commit %d operations: %w", len(b), classify(err))
	}
	t.carryLater()
	return nil
}

// operation returns the operation that message i of the transaction belongs to.
func (t *Table) operation(i int) int {
	if i == nl.Whole || i >= len(t.owner) {
		return ruleset.Whole
	}
	return int(t.owner[i])
}

// prepare encodes a batch and makes room for it. Clients that a small batch carries follow later
// if they do not fit; a large batch is better made smaller.
func (t *Table) prepare(b ruleset.Batch) error {
	carried, err := t.readCarried(b)
	if err != nil {
		return err
	}
	t.later = nil
	for {
		if err := t.encode(b, carried); err != nil {
			return err
		}
		if err := t.socket.Reserve(t.out.Size() + markSize); err != nil {
			return err
		}
		over := t.out.Size() + markSize - t.socket.MaxSend()
		if over <= 0 || len(b) > ruleset.DefaultLimit || !t.postpone(b, carried, over) {
			return nil
		}
	}
}

// encode makes t.out the transaction of a batch. A run of elements shares its
// messages, so a refusal of one is reported for the first of them.
func (t *Table) encode(b ruleset.Batch, carried map[int][]entry) error {
	t.out.BeginTransaction(unix.NFNL_SUBSYS_NFTABLES)
	t.owner = t.owner[:0]
	for i := 0; i < len(b); {
		n := runLength(b[i:])
		switch b[i].Verb {
		case ruleset.AddSet:
			encodeSet(&t.out, b[i].Set, uint32(i), len(carried) > 0)
		case ruleset.CarryClients:
			encodeEntries(&t.out, b[i].Set, carried[i])
		default:
			if err := encodeRun(&t.out, b[i:i+n], &t.room); err != nil {
				return err
			}
		}
		for len(t.owner) < t.out.Operations() {
			t.owner = append(t.owner, int32(i))
		}
		i += n
	}
	return t.out.Err()
}

// runLength returns how many operations at the start of b go into one message:
// elements that are added to, or deleted from, one set for one frontend. So a
// refusal names one frontend. Entries of affinity maps expire, so each has a message
// of its own.
func runLength(b ruleset.Batch) int {
	first := &b[0]
	if !isElement(first) || first.Element.Set.Spec().Learnt {
		return 1
	}
	n := 1
	for n < len(b) && isElement(&b[n]) && b[n].Verb == first.Verb &&
		b[n].Element.Set == first.Element.Set && b[n].Element.Key == first.Element.Key {
		n++
	}
	return n
}

func isElement(o *ruleset.Op) bool {
	return (o.Verb == ruleset.AddElement || o.Verb == ruleset.DeleteElement) && o.Stray == nil
}

// Delete removes the table with everything in it. A table that does not exist is
// not an error.
func (t *Table) Delete(ctx context.Context) error {
	err := t.Commit(ctx, ruleset.Batch{{Verb: ruleset.AddTable}, {Verb: ruleset.DeleteTable}})
	if err != nil {
		return fmt.Errorf("delete table: %w", err)
	}
	return nil
}
