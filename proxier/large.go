// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"fairlead/proxier/objects"
	"fairlead/proxier/resolve"
	"fairlead/proxier/store"
)

// keptService is how a large Service was resolved, and as what it was in the store then. What is true of the node is
// the same still.
type keptService struct {
	view store.View
	how  *resolve.Kept
}

// mostServicesKept bounds how many Services are kept. Each takes some KB.
const mostServicesKept = 1 << 10

// largeServices resolves Services. Of large ones it keeps how, so that a change of a few slices costs little more
// than these.
type largeServices struct {
	kept  map[types.NamespacedName]keptService
	epoch int // how often all were forgotten
	// unpacked are the slices of the Service that is resolved, unless its work is suspended.
	unpacked store.Unpacked
}

// forget forgets all, because what is true of the node changed.
func (l *largeServices) forget() {
	l.kept, l.epoch = map[types.NamespacedName]keptService{}, l.epoch+1
}

// resolved is a Service without what belongs to others.
type resolved struct {
	list     []resolve.Claim
	from     []*objects.Slice // all slices, or those that changed
	problems []objects.Problem
}

// resolve resolves a Service that exists. Others may be resolved in its pauses if it pauses.
func (l *largeServices) resolve(key types.NamespacedName, view *store.View, facts *resolve.ClusterFacts, pauses bool, pause resolve.Pause) (r resolved) {
	allowed, addresses := resolve.CheckAddresses(view.Service, facts)
	kept, epoch := l.kept[key], l.epoch
	delete(l.kept, key)
	var excess, endpoints []objects.Problem
	var next *resolve.Kept
	whole := allowed == view.Service // or an address is not served
	was, now, ok := view.Changed(&kept.view)
	if ok = ok && whole; ok {
		r.from = now
		r.list, excess, next, ok = kept.how.Advance(was, now, &facts.Self, pause)
	}
	if !ok {
		memory := &l.unpacked
		if pauses {
			memory = &store.Unpacked{}
		}
		r.from = memory.Slices(view, pause)
		var safe []*objects.Slice
		safe, endpoints = resolve.CheckEndpoints(r.from, facts)
		r.list, excess, next = resolve.Keep(allowed, safe, facts, pause)
	}
	r.problems = slices.Concat(addresses, endpoints, excess)
	if next != nil && whole && epoch == l.epoch {
		if len(l.kept) >= mostServicesKept {
			clear(l.kept)
		}
		l.kept[key] = keptService{*view, next}
	}
	return r
}
