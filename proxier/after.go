// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"cmp"
	"context"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"

	"fairlead/internal/inet"
	"fairlead/nat"
	"fairlead/nat/apply"
	"fairlead/overlay"
	"fairlead/proxier/objects"
	"fairlead/proxier/resolve"
	"fairlead/proxier/status"
	"fairlead/proxier/store"
)

// mostProblems is how many problems are logged at once. The rest waits for the next batch.
const mostProblems = 200

// publishSome passes on what a round has completed, in part of the objects, because others may
// be changed for ever.
func (p *Proxier) publishSome(ctx context.Context, r *apply.Result) {
	p.publishProblems(klog.FromContext(ctx))
	p.logHintChanges(klog.FromContext(ctx))
	for _, key := range r.Changed {
		p.publishFlowsOf(key)
	}
	for _, key := range p.desired.settled {
		p.publishFlowsOf(key)
	}
	p.desired.settled = p.desired.settled[:0]
	p.publishDone(p.desired.complete)
	if p.desired.state.Loading() {
		return
	}
	p.desired.settled = p.desired.progress.drop(p.desired.state.Waits, p.desired.settled)
	if began, ok := p.desired.progress.passed(time.Now()); ok {
		p.pendingSince.set(p.desired.progress.began)
		p.publishWanted()
		p.passed(began)
	}
}

// passed follows when the kernel has all changes that were there at a time.
func (p *Proxier) passed(start time.Time) {
	if p.syncs.Enabled() && p.desired.work != (work{}) { // one that found nothing to do is no news
		p.syncs.Info("Synced", p.desired.work.facts(start)...)
	}
	p.desired.work = work{}
	p.metrics.Synced(start, nil)
	p.history.Synced(start, nil)
	p.publishClients()
	p.synced.set(time.Now())
	p.sweepFlows()
	p.by = nat.Writer{} // or a later repair would be said to follow a change that was taken back
	p.checkLater()
}

// sweepFlows has all flows looked at if it is not known which became stale: before this
// process, and while rules or elements were missing. Who dialled a Service then has a flow
// that is not translated, and keeps it for as long as packets come. A large repair takes many
// rounds, and only the sync knows when the last one is done.
func (p *Proxier) sweepFlows() {
	first := !p.ready.Swap(true)
	if (first || p.mended || p.untracked) && p.flows != nil {
		p.flows.SweepAll(p.desired.state.Leaves())
		if p.untracked {
			p.flows.Loosen()
		}
	}
	p.untracked = false
}

// refusedServices returns the Services that have a frontend which the kernel refused.
func (p *Proxier) refusedServices() map[types.NamespacedName]struct{} {
	if len(p.refused) == 0 {
		return nil
	}
	out := map[types.NamespacedName]struct{}{}
	for key := range p.refused {
		if c := p.desired.claims.Owner(key); c != nil {
			out[c.Subject.NamespacedName] = struct{}{}
		}
	}
	return out
}

// publishFlows passes on which backends changed. It comes after the commit, because
// under the old rules the next packet would bring a deleted flow back.
func (p *Proxier) publishFlows() {
	for key := range p.desired.flows.of {
		p.publishFlowsOf(key)
	}
}

// publishFlowsOf does so for one frontend, once the kernel has it.
func (p *Proxier) publishFlowsOf(key inet.Addr) {
	_, stale := p.desired.flows.of[key]
	_, refused := p.refused[key] // The kernel has the frontend as it was before.
	if !stale || refused || p.desired.state.Waits(key) {
		return
	}
	p.desired.flows.done(key)
	if p.flows == nil {
		return
	}
	if serving, existing, ok := p.desired.backends(key); ok {
		p.flows.Set(key, serving, existing)
	} else {
		p.flows.Delete(key)
	}
}

// publishDone passes on what follows when the kernel has everything of a Service: what load
// balancers are told about it, and how long changes of its endpoints took. complete says of
// which Services the kernel has everything that it did not refuse.
func (p *Proxier) publishDone(complete func(types.NamespacedName) bool) {
	refused := p.refusedServices()
	done := func(svc types.NamespacedName) bool {
		_, not := refused[svc]
		return !not && complete(svc)
	}
	p.desired.health.publish(p.health, done)
	p.publishTriggers(done)
}

// publishTriggers measures how long changes of endpoints took, of Services that are done.
func (p *Proxier) publishTriggers(done func(types.NamespacedName) bool) {
	p.desired.triggers = slices.DeleteFunc(p.desired.triggers, func(t store.Trigger) bool {
		if !done(t.Service) {
			return false
		}
		p.metrics.Programmed(t.At)
		p.history.Programmed(t.At)
		return true
	})
}

// publishWanted counts what is wanted.
func (p *Proxier) publishWanted() {
	wanted := p.desired.wanted()
	p.metrics.SetWanted(wanted)
	p.history.Serves(wanted.Frontends, wanted.Backends)
}

// searchPause is the least time between two searches of all affinity maps. Otherwise a program
// that keeps changing rules would make the agent list all clients each second.
const searchPause = 10 * time.Second

// publishClients deletes the affinity entries that lead to other backends than the wanted
// ones, after each load of the table: entries may have been missed or forged before.
func (p *Proxier) publishClients() {
	if p.clients == nil || !p.loaded {
		return
	}
	if rest := searchPause - time.Since(p.searched); rest > 0 {
		if p.recheck == nil {
			p.recheck = time.After(rest)
		}
		return
	}
	p.loaded, p.searched = false, time.Now()
	p.clients.RemoveExcept(p.desired.state.Remembered())
}

// publishOverlay passes the nodes on that have changed. Without a Node of our own the
// overlay stays in place, because an unknown node is not a deleted one.
func (p *Proxier) publishOverlay() {
	news := p.desired.news
	if p.overlay == nil {
		p.desired.news = nodeNews{}
	}
	if p.overlay == nil || !news.all && len(news.names) == 0 {
		return
	}
	self := p.desired.table.Self()
	if self == nil {
		p.desired.news = nodeNews{all: true} // once it is known
		return
	}
	p.desired.news = nodeNews{}
	if _, changed := news.names[self.Name]; news.all || changed {
		var peers []overlay.Node
		for _, n := range p.store.Nodes() {
			if n.Name != self.Name {
				peers = append(peers, p.desired.cfg.Peer(n))
			}
		}
		p.overlay.Set(p.desired.cfg.OverlaySelf(self), peers)
		return
	}
	var came []overlay.Node
	var gone []string
	for name := range news.names {
		if n := p.store.Node(name); n != nil {
			came = append(came, p.desired.cfg.Peer(n))
		} else {
			gone = append(gone, name)
		}
	}
	p.overlay.Change(came, gone)
}

// OverlayReport takes over what keeps parts of the overlay of a node from
// working.
func OverlayReport(s *store.Store, node string, r *overlay.Report) {
	problems := make([]objects.Problem, len(r.Problems))
	for i, p := range r.Problems {
		problems[i] = objects.Problem{Kind: objects.KindNode, Name: cmp.Or(p.Node, node), Field: p.Field, Text: p.Text}
	}
	s.Book().Set(status.ByOverlay, objects.Key{Kind: objects.KindNode, Name: node}, problems)
	s.Update(func(tx *store.Tx) { tx.SetTunnelAddrs(r.Tunnel.Own) })
}

// publishProblems logs each problem once when it appears, with an Event, and
// once when it is gone.
func (p *Proxier) publishProblems(log klog.Logger) {
	fresh, gone := p.book.TakeSome(mostProblems)
	if len(fresh)+len(gone) == 0 {
		return
	}
	for _, problem := range fresh {
		log.Info("Warning: problem found", "kind", problem.Kind, "name", problem.Name, "field", problem.Field, "problem", problem.Text)
	}
	for _, problem := range gone {
		log.Info("Problem is gone", "kind", problem.Kind, "name", problem.Name, "field", problem.Field)
	}
	p.events.Problems(fresh)
	p.metrics.Report(p.book.Counts())
}

// logHintChanges says of which Services topology hints are not followed, and why.
func (p *Proxier) logHintChanges(log klog.Logger) {
	for _, t := range p.desired.notes.TakeHintChanges() {
		switch {
		case t.Why == (resolve.Fallback{}):
			log.V(2).Info("Topology hints are followed, or gone", "service", t.Service)
		case t.Why.Endpoint.IsValid():
			log.V(2).Info("Topology hints are not followed", "service", t.Service, "level", t.Why.Level, "reason", t.Why.Reason, "endpoint", t.Why.Endpoint)
		default:
			log.V(2).Info("Topology hints are not followed", "service", t.Service, "level", t.Why.Level, "reason", t.Why.Reason)
		}
	}
}
