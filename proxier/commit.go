// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"fairlead/nat"
	"fairlead/nat/plan"
	"fairlead/nat/ruleset"
)

// maxReloads bounds how often one pass looks again at a table that is never as
// expected. Then a frontend is to blame: EEXIST and EBUSY may be refusals, too.
const maxReloads = 2

// commitAll commits batches until nothing is pending. A batch that the kernel
// refuses is halved until one frontend is left, which is set aside, so that one
// bad frontend does not keep the others waiting.
func (p *Proxier) commitAll(ctx context.Context) error {
	defer func() { p.repairing = false }()
	state := p.desired.state
	limit, reloads := 0, 0
	for {
		b := state.Next(limit)
		if b == nil {
			return nil
		}
		err := p.commit(ctx, b)
		switch {
		case err == nil:
			limit = 0
		case ctx.Err() != nil || blameless(err):
			return err
		case errors.Is(err, nat.ErrDrift) && reloads < maxReloads:
			reloads++
			if err := p.reload(ctx); err != nil {
				return err
			}
		case len(b.Keys()) == 0: // the program itself, or something shared
			p.distrusted = true
			return err
		case limit == 1:
			p.refuse(b, err) // and do not search again if the next is as bad
		default:
			// Always smaller: a batch may hold more than its limit.
			limit = max(min(b.Len()/2, cmp.Or(limit, ruleset.DefaultLimit)-1), 1)
		}
	}
}

// commit carries out b. A batch without operations, of a frontend that is gone
// before it was there, is none of the kernel's business.
func (p *Proxier) commit(ctx context.Context, b *plan.Step) error {
	if b.Len() > 0 {
		if err := p.table.Commit(ctx, &b.Batch); err != nil {
			return err
		}
		p.metrics.committed(&b.Batch)
		if p.repairing {
			p.repairing = false
			p.metrics.repairs.Inc()
			p.events.repaired()
		}
	}
	p.desired.state.Acked(b)
	if p.clients != nil {
		p.clients.Remove(b.Unstick())
	}
	for _, key := range b.Keys() {
		if _, was := p.refused[key]; was {
			delete(p.refused, key)
			p.news = true
		}
	}
	return nil
}

// blameless reports errors that say nothing about the batch: a smaller one
// would meet them as well.
func blameless(err error) bool {
	for _, general := range []error{nat.ErrPermission, unix.ENOMEM, unix.EMFILE, unix.EBADF, unix.EINTR} {
		if errors.Is(err, general) {
			return true
		}
	}
	return false
}

// refuse sets the frontend aside that a batch of the smallest size is about.
// That is the last one: those before it needed no operation.
func (p *Proxier) refuse(b *plan.Step, err error) {
	keys := b.Keys()
	key := keys[len(keys)-1]
	if errno := unix.Errno(0); errors.As(err, &errno) {
		err = errno // the rest says how, not why, and differs from try to try
	}
	problem := Problem{Kind: kindService, Name: key.String(), Text: fmt.Sprintf("the kernel refuses to remove this frontend: %v", err)}
	if c, ok := p.desired.claims.owner(key); ok {
		problem.Name = c.frontend.Owner
		problem.Field = c.field
		problem.Text = fmt.Sprintf("the kernel refuses %s: %v", describeAddr(key), err)
	}
	p.refused[key] = problem
	p.news = true
	p.desired.state.Refuse(b)
	p.metrics.refusals.Inc()
}
