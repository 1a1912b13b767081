// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"context"
	"errors"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"

	"fairlead/nat"
	"fairlead/proxier/resolve"
)

// Retries after a failed sync, or of what the kernel refused; doubled from the
// first to the last.
const (
	firstRetry = 100 * time.Millisecond
	lastRetry  = 30 * time.Second
)

// Run reconciles until ctx is done, then returns nil. It leaves the data path in place, so that
// an upgrade drops no traffic. No other goroutine writes to the kernel. The watch of the table has
// ended when Run returns, so the caller may close the table.
func (p *Proxier) Run(ctx context.Context) error {
	var watching sync.WaitGroup
	defer watching.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer p.desired.waiting.stop()
	p.syncs = klog.FromContext(ctx).V(2)
	watching.Go(func() { p.watch(ctx) })

	var retry <-chan time.Time // nil, so never ready, while all is well
	wait := firstRetry
	var repair <-chan time.Time // nil unless a change by another program waits
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-p.store.Poked():
		case <-p.book.Changed():
		case <-p.recheck:
			p.recheck = nil
		case <-p.checking:
			if p.check(ctx) {
				continue
			}
		case <-p.drifted:
			if pause := p.fight.wait(time.Now()); pause > 0 {
				if repair == nil {
					repair = time.After(pause)
				}
				continue
			}
			p.distrust(ctx)
		case <-repair:
			repair = nil
			p.distrust(ctx)
		case <-retry:
			retry = nil
			p.desired.state.Retry()
		}
		pass := p.sync
		if !p.store.Synced() { // a missing object only means "not seen yet"
			pass = p.unblock
		}
		err := pass(ctx)
		if ctx.Err() != nil {
			return nil
		}
		switch {
		case errors.Is(err, nat.ErrDrift): // another program is ahead, so this is a fight
			p.changed.Or(uint32(nat.Everything))
			p.drifted.Set()
		case err == nil && p.desired.state.Pending() == 0:
			retry, wait = nil, firstRetry
		case retry == nil: // or events would postpone the retry indefinitely
			retry = time.After(wait)
			wait = min(2*wait, lastRetry)
		}
	}
}

// unblock repairs what may keep the node from the API server, so that the first objects can
// be read, and reads the table while they arrive. The watch pokes for it once as soon as it
// listens, and after each change.
func (p *Proxier) unblock(ctx context.Context) error {
	if !p.distrusted {
		return nil
	}
	set, _ := resolve.SettingsOf(p.desired.cfg, &resolve.Cluster{}) // what the flags alone say
	r, err := p.apply.Unblock(ctx, &set)
	p.applied(ctx, &r)
	p.desired.work = work{} // belongs to no sync
	p.distrusted = err != nil
	if err == nil {
		p.outage.done(time.Now()) // the first sync may be far away
	}
	if err != nil && ctx.Err() == nil {
		klog.FromContext(ctx).Error(err, "Failed to repair or to read the table before the first sync, retrying")
	}
	return err
}

// distrust makes the next sync load the table.
func (p *Proxier) distrust(ctx context.Context) {
	p.distrusted = true
	p.outage.look()
	p.by = p.writer.take()
	if p.fight.loading(time.Now(), p.by) {
		p.fight.log(klog.FromContext(ctx), "what it took back itself")
	}
	p.apply.DistrustPart(nat.Scope(p.changed.Swap(0)))
}

// sync makes one pass. Dirty keys can be taken before anything is written: they
// only change what is wanted. What the kernel has changes in Acked alone, so a
// failed commit loses nothing.
func (p *Proxier) sync(ctx context.Context) error {
	start := time.Now()
	p.pendingSince.setFirst(start)
	p.desired.progress.start(start)
	p.desired.start()
	if traffic := p.traffic.Load(); traffic != nil {
		p.desired.state.SetTraffic(*traffic)
	}
	p.publishOverlay()
	// Who owns an address in the kernel keeps it, so the table is read first.
	loaded, err := p.apply.Load(ctx)
	p.applied(ctx, &loaded)
	if err == nil {
		p.desired.update()
		p.publishOverlay()
		err = p.commitAll(ctx)
	}
	p.publishProblems(klog.FromContext(ctx))
	p.logHintChanges(klog.FromContext(ctx))
	p.publishWanted()
	if err != nil {
		p.failed(ctx, start, err)
		p.desired.work = work{}
		p.desired.resettle()
		p.metrics.Synced(start, err)
		p.history.Synced(start, err)
		p.publishDone(func(types.NamespacedName) bool { return false })
		return err
	}
	p.publishFlows()
	p.passed(start)
	p.mended = false
	p.publishDone(func(types.NamespacedName) bool { return true })
	clear(p.desired.checked)
	p.desired.settled = nil
	p.desired.progress.reset()
	p.store.Programmed()
	p.pendingSince.clear()
	p.outage.done(time.Now())
	return nil
}

// failed reports that a sync failed which began at start. If another program is ahead, the
// kernel takes changes all the same, and the line about the fight says enough.
func (p *Proxier) failed(ctx context.Context, start time.Time, err error) {
	switch log := klog.FromContext(ctx); {
	case ctx.Err() != nil:
	case errors.Is(err, nat.ErrDrift):
		p.pendingSince.set(time.Now())
		log.V(2).Info("Another program changed the table during a sync", append(p.desired.work.facts(start), "err", err)...)
	default:
		log.Error(err, "Sync failed", p.desired.work.facts(start)...)
	}
}
