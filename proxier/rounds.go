// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"k8s.io/klog/v2"

	"fairlead/internal/inet"
	"fairlead/nat"
	"fairlead/nat/apply"
	"fairlead/nat/plan"
	"fairlead/proxier/objects"
	"fairlead/proxier/resolve"
	"fairlead/proxier/status"
)

// commitAll makes the kernel equal to what is wanted, in rounds of bounded length.
// Between two rounds it looks at the store again, so that a change does not wait for
// all that came before it.
func (p *Proxier) commitAll(ctx context.Context) error {
	for {
		r, err := p.apply.Round(ctx)
		p.applied(ctx, &r)
		if err != nil && p.desired.more() && ctx.Err() == nil {
			p.desired.drain()
			continue
		}
		if err != nil || !r.More && !p.desired.more() && !p.store.IsDirty() {
			return err
		}
		p.publishSome(ctx, &r)
		p.checkBetween(ctx)
		p.desired.update()
	}
}

// applied records what a round did.
func (p *Proxier) applied(ctx context.Context, r *apply.Result) {
	for _, c := range r.Commits {
		p.metrics.Committed(c.Adds, c.Deletes)
	}
	p.metrics.Loads.Add(float64(r.Loads))
	p.desired.work.applied(r)
	p.loaded = p.loaded || r.Loads > 0
	p.desired.progress.read = p.desired.progress.read || r.Loads > 0 || r.Reads > 0
	p.untracked = p.untracked || r.Missing
	if r.Replaced > 0 {
		klog.FromContext(ctx).Info("Replaced the table of another version in one transaction", "operations", r.Replaced)
	}
	if r.Stepwise != nil {
		klog.FromContext(ctx).Info("Warning: replacing the table of another version step by step, new connections may fail meanwhile", "reason", r.Stepwise)
	}
	if len(r.Repaired) > 0 {
		p.mended = true
		if slices.ContainsFunc(r.Commits, func(c apply.Commit) bool { return c.Adds > 0 }) {
			p.outage.repairing(time.Now())
		}
		p.repaired(ctx, r.Repaired)
	}
	if p.clients != nil {
		p.clients.Remove(r.Unstick)
	}
	for _, key := range r.Changed {
		if !p.desired.state.Waits(key) {
			p.desired.progress.frontends.done(key)
		}
		if _, was := p.refused[key]; was {
			delete(p.refused, key)
			p.book.Set(status.ByKernel, objects.Key{Kind: objects.KindService, Name: key.String()}, nil)
		}
	}
	for _, c := range r.Chains {
		p.metrics.Refusals.Inc()
		klog.FromContext(ctx).Error(c.Err, "Kernel refused a chain, retrying later", "chain", c.Chain)
	}
	for _, o := range r.Objects {
		p.metrics.Refusals.Inc()
		klog.FromContext(ctx).Error(o.Err, "Kernel refused a part of the table, retrying later", "object", o.Object)
	}
	for _, f := range r.Refused {
		p.desired.progress.frontends.done(f.Frontend)
		p.refuse(f.Frontend, f.Err)
	}
}

// repaired reports what another program had changed.
func (p *Proxier) repaired(ctx context.Context, found plan.Drift) {
	by := cmp.Or(p.writer.take(), p.by)
	p.by = nat.Writer{}
	for _, d := range found {
		p.metrics.Repaired(d.Kind, d.Count)
	}
	p.metrics.Repairs.Inc()
	p.history.Repaired(status.Repair{At: time.Now(), By: by.String(), Found: found.String()})
	log := klog.FromContext(ctx)
	switch repair, fought := p.fight.repaired(time.Now(), by); {
	case repair:
		log.Info("Repaired the table after another program changed it", "found", found.String(), "by", by.String())
	case fought:
		p.fight.log(log, found.String())
	default:
		log.V(2).Info("Repaired the table again", "found", found.String(), "by", by.String())
	}
	p.events.Repaired(found.String(), by.String())
}

// refuse reports a frontend that the kernel refused.
func (p *Proxier) refuse(key inet.Addr, err error) {
	problem := objects.Problem{Kind: objects.KindService, Name: key.String(), Text: fmt.Sprintf("the kernel refuses to remove this frontend: %v", err)}
	if c := p.desired.claims.Owner(key); c != nil {
		problem.Name, problem.UID = c.Value.Frontend.Owner, c.Subject.UID
		problem.Field = c.Value.Field()
		problem.Text = fmt.Sprintf("the kernel refuses %s: %v", resolve.DescribeAddr(key), err)
	}
	p.refused[key] = struct{}{}
	p.book.Set(status.ByKernel, objects.Key{Kind: objects.KindService, Name: key.String()}, []objects.Problem{problem})
	p.metrics.Refusals.Inc()
}

// checkBetween compares the next part, if it is due, between two rounds of a sync: changes may come
// all the time, so that no sync ends. The next round mends what differs.
func (p *Proxier) checkBetween(ctx context.Context) {
	select {
	case <-p.checking: // never while it is nil
		p.check(ctx)
	default:
	}
}

// check compares a part with the kernel. It returns false if a sync is due, because something differs
// or cannot be read.
func (p *Proxier) check(ctx context.Context) bool {
	p.checking = nil
	differs, r, err := p.apply.Check(ctx)
	p.applied(ctx, &r)
	if err != nil && ctx.Err() == nil {
		klog.FromContext(ctx).Error(err, "Failed to check elements that were not read at the start, reading the table")
	}
	if differs {
		return false
	}
	p.checkLater()
	return true
}
