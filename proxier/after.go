// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"cmp"

	"k8s.io/klog/v2"

	"fairlead/overlay"
	"fairlead/proxier/objects"
	"fairlead/proxier/resolve"
	"fairlead/proxier/status"
	"fairlead/proxier/store"
)

// publishFlows passes on which backends changed. It comes after the commit, because
// under the old rules the next packet would bring a deleted flow back.
func (p *Proxier) publishFlows() {
	if p.flows == nil {
		clear(p.desired.flows)
		return
	}
	for key := range p.desired.flows {
		if _, refused := p.refused[key]; refused {
			continue // The kernel has the frontend as it was before.
		}
		delete(p.desired.flows, key)
		if serving, existing, ok := p.desired.backends(key); ok {
			p.flows.Set(key, serving, existing)
		} else {
			p.flows.Delete(key)
		}
	}
	if !p.Ready() {
		p.flows.SweepAll() // what became stale before this process is not known
	}
}

// publishClients deletes the affinity entries that lead to other backends than the wanted
// ones, after each load of the table: entries may have been missed or forged before.
func (p *Proxier) publishClients() {
	if p.clients != nil && p.loaded {
		p.clients.RemoveExcept(p.desired.state.Remembered())
	}
	p.loaded = false
}

// publishOverlay passes the nodes on when one of them has changed. Without a Node
// of our own the overlay stays in place, because an unknown node is not a deleted one.
func (p *Proxier) publishOverlay() {
	if p.overlay == nil || !p.desired.nodes {
		return
	}
	p.desired.nodes = false
	self := p.store.Node(p.desired.cfg.NodeName)
	if self == nil {
		return
	}
	var peers []overlay.Node
	for _, n := range p.store.Nodes() {
		if n.Name != self.Name {
			peers = append(peers, p.desired.cfg.Peer(n))
		}
	}
	p.overlay.Set(p.desired.cfg.OverlaySelf(self), peers)
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
	fresh, gone := p.book.Take()
	if len(fresh)+len(gone) == 0 {
		return
	}
	for _, problem := range fresh {
		log.Info("Problem", "kind", problem.Kind, "name", problem.Name, "field", problem.Field, "problem", problem.Text)
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
