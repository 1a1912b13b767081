// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"k8s.io/klog/v2"

	"fairlead/nat"
)

// Table is the kernel's side of package nat; see nat.Table for the contract.
type Table interface {
	Load(ctx context.Context) (*nat.Ruleset, error)
	Commit(ctx context.Context, b *nat.Batch) error
	Watch(ctx context.Context, poke func()) error
}

// Deps is what a Proxier works with.
type Deps struct {
	Table   Table
	Metrics *Metrics
}

// Proxier keeps the table equal to what the objects in a Store say.
type Proxier struct {
	desired *desired
	store   *Store
	table   Table
	metrics *Metrics

	drifted chan struct{} // poked when somebody else changed the table
	// distrusted is set while have may differ from the kernel.
	distrusted bool
	refused    map[string]Problem // by frontend
	reported   map[Problem]struct{}

	ready  atomic.Bool
	synced atomic.Int64 // Unix time in nanoseconds of the last good sync
	behind atomic.Int64 // since when a sync is due, 0 when none is
}

// New returns a Proxier that does nothing until Run.
func New(cfg Config, store *Store, deps Deps) *Proxier {
	return &Proxier{
		desired: newDesired(&cfg, store), store: store, table: deps.Table, metrics: deps.Metrics,
		drifted: make(chan struct{}, 1), distrusted: true,
		refused: map[string]Problem{}, reported: map[Problem]struct{}{},
	}
}

// Ready reports whether the table was once brought up to date. Safe for
// concurrent use.
func (p *Proxier) Ready() bool { return p.ready.Load() }

// LastSync returns when a sync last left nothing to do; zero before the first.
// Safe for concurrent use.
func (p *Proxier) LastSync() time.Time {
	if at := p.synced.Load(); at != 0 {
		return time.Unix(0, at)
	}
	return time.Time{}
}

// Behind returns for how long a change has waited for the kernel, 0 when none
// does. Safe for concurrent use.
func (p *Proxier) Behind() time.Duration {
	if since := p.behind.Load(); since != 0 {
		return time.Since(time.Unix(0, since))
	}
	return 0
}

// Retries after a failed sync, doubled from the first to the last.
const (
	firstRetry = 100 * time.Millisecond
	lastRetry  = 30 * time.Second
)

// Run reconciles until ctx ends and returns nil then: the data path is left as
// it is, so that an upgrade does not drop traffic. It is the only writer.
func (p *Proxier) Run(ctx context.Context) error {
	log := klog.FromContext(ctx)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go p.watch(ctx)

	var retry <-chan time.Time // nil, so never ready, while all is well
	wait := firstRetry
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-p.store.Poked():
		case <-p.drifted:
			p.distrusted = true
		case <-retry:
			p.desired.state.Retry()
		}
		if !p.store.Synced() {
			continue // a missing object only means "not seen yet"
		}
		retry = nil
		err := p.sync(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil && len(p.refused) == 0:
			wait = firstRetry
			continue
		case err != nil:
			log.Error(err, "Sync failed", "retryIn", wait)
		}
		retry = time.After(wait)
		wait = min(2*wait, lastRetry)
	}
}

// watch pokes the loop when somebody else changes the table. Should watching
// itself fail it starts again, and what was missed is looked up.
func (p *Proxier) watch(ctx context.Context) {
	poke := func() {
		select {
		case p.drifted <- struct{}{}:
		default:
		}
	}
	for ctx.Err() == nil {
		if err := p.table.Watch(ctx, poke); err != nil {
			klog.FromContext(ctx).Error(err, "Watch ended", "retryIn", firstRetry)
		}
		select {
		case <-ctx.Done():
		case <-time.After(firstRetry):
			poke()
		}
	}
}

// sync makes one pass. Dirty keys can be taken before anything is written: they
// only change what is wanted. What the kernel has changes in Acked alone, so a
// failed commit loses nothing.
func (p *Proxier) sync(ctx context.Context) error {
	start := time.Now()
	p.behind.CompareAndSwap(0, start.UnixNano())
	changed := p.desired.update()
	var err error
	if p.distrusted {
		err = p.reload(ctx)
	}
	if err == nil {
		err = p.commitAll(ctx)
	}
	if changed || len(p.refused) > 0 || len(p.reported) > 0 {
		p.report(klog.FromContext(ctx))
	}
	p.metrics.synced(start, err)
	if err == nil {
		p.behind.Store(0)
		p.synced.Store(time.Now().UnixNano())
		p.ready.Store(true)
	}
	return err
}

// reload makes have what the kernel holds; the next commits repair exactly the
// difference.
func (p *Proxier) reload(ctx context.Context) error {
	found, err := p.table.Load(ctx)
	if err != nil {
		return fmt.Errorf("look up what the kernel has: %w", err)
	}
	p.desired.state.Adopt(found)
	p.distrusted = false
	p.metrics.loads.Inc()
	return nil
}

// commitAll commits batches until nothing is pending. A batch that the kernel
// refuses is halved until one frontend is left, which is set aside, so that one
// bad frontend does not keep the others waiting.
func (p *Proxier) commitAll(ctx context.Context) error {
	state := p.desired.state
	reloads := 0
	clear(p.refused)
	for limit := 0; ; {
		b := state.Next(limit)
		if b == nil {
			return nil
		}
		err := p.table.Commit(ctx, b)
		switch {
		case err == nil:
			state.Acked(b)
			p.metrics.committed(b)
			limit = 0
		case ctx.Err() != nil || errors.Is(err, nat.ErrPermission):
			return err
		case errors.Is(err, nat.ErrDrift) && reloads < 2:
			reloads++
			if err := p.reload(ctx); err != nil {
				return err
			}
		case len(b.Keys()) > 1:
			limit = max(b.Len()/2, 1)
		case len(b.Keys()) == 1:
			p.refuse(b, err)
			limit = 0
		default:
			p.distrusted = true
			return err // the program itself, or something shared
		}
	}
}

// refuse sets the only frontend of a batch aside.
func (p *Proxier) refuse(b *nat.Batch, err error) {
	key := b.Keys()[0]
	problem := Problem{Kind: kindService, Name: key.String(), Text: fmt.Sprintf("the kernel refuses this frontend: %v", err)}
	if c, ok := p.desired.claims.owner(key); ok {
		problem.Name = c.frontend.Owner
		problem.Field = c.field
		problem.Text = fmt.Sprintf("the kernel refuses %s: %v", describeAddr(key), err)
	}
	p.refused[key.String()] = problem
	p.desired.state.Refuse(b)
	p.metrics.refusals.Inc()
}

// report logs each problem once when it appears and once when it is gone.
func (p *Proxier) report(log klog.Logger) {
	now := map[Problem]struct{}{}
	for _, problem := range p.desired.problems() {
		now[problem] = struct{}{}
	}
	for _, problem := range p.refused {
		now[problem] = struct{}{}
	}
	for problem := range now {
		if _, known := p.reported[problem]; !known {
			log.Info("Problem", "kind", problem.Kind, "name", problem.Name, "field", problem.Field, "problem", problem.Text)
		}
	}
	for problem := range p.reported {
		if _, still := now[problem]; !still {
			log.Info("Problem is gone", "kind", problem.Kind, "name", problem.Name, "field", problem.Field)
		}
	}
	p.reported = now
	p.metrics.report(now)
}
