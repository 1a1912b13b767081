// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"net/netip"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"fairlead/internal/inet"
	"fairlead/nat"
	"fairlead/nat/plan"
	"fairlead/nat/ruleset"
	"fairlead/proxier/metrics"
	"fairlead/proxier/objects"
	"fairlead/proxier/resolve"
	"fairlead/proxier/store"
)

// Wanted is what the agent of a node asks the kernel for, given objects. It does no I/O
// and is not safe for concurrent use.
type Wanted struct{ d *desired }

// NewWanted resolves the objects in a store. The addresses of this node's tunnels, which
// no object names, and the owners of addresses that several Services or Pods claim are taken from
// a table that was read from the kernel; found may be nil.
func NewWanted(cfg resolve.Config, s *store.Store, found *ruleset.Snapshot) *Wanted {
	d := newDesired(&cfg, s)
	if found != nil {
		var own []netip.Addr
		for _, f := range inet.Families() {
			for _, p := range found.Ranges[ruleset.Set{Kind: ruleset.VTEPs, Family: f}] {
				own = append(own, p.Addr())
			}
		}
		s.Update(func(tx *store.Tx) { tx.SetTunnelAddrs(own) })
		owners, pods := map[inet.Addr]string{}, map[inet.Addr]string{}
		for e := range found.Elements.All() {
			switch {
			case e.Set.Spec().Verdict:
				owners[e.Key] = e.Comment
			case e.Set.IsHostPorts():
				pods[e.Key] = e.Comment
			}
		}
		d.inKernel = func(a inet.Addr) string { return owners[a] }
		d.podsThere = func() map[inet.Addr]string { return pods }
	}
	d.update()
	return &Wanted{d}
}

// Problems returns what is wrong with all objects.
func (w *Wanted) Problems() []objects.Problem { return w.d.book.Problems() }

// Explain says what became of a Service, or returns nil for one that is not served.
func (w *Wanted) Explain(key types.NamespacedName) *resolve.Explanation {
	svc := w.d.store.Service(key)
	if svc == nil {
		return nil
	}
	return resolve.Explain(svc, w.d.store.Slices(key), &w.d.facts)
}

// Frontend returns what is asked for at an address.
func (w *Wanted) Frontend(a inet.Addr) (nat.Frontend, bool) {
	c := w.d.claims.Owner(a)
	if c == nil {
		return nat.Frontend{}, false
	}
	return c.Value.Frontend, true
}

// FrontendsOf returns the addresses that a Service gets, sorted.
func (w *Wanted) FrontendsOf(key types.NamespacedName) []inet.Addr {
	var out []inet.Addr
	for _, c := range w.d.claims.Of(key) {
		if w.d.claims.Owner(c.Key) == c {
			out = append(out, c.Key)
		}
	}
	slices.SortFunc(out, inet.Addr.Compare)
	return out
}

// Mismatches compares the table in the kernel with the wanted one. Wanted must not be
// used afterwards.
func (w *Wanted) Mismatches(found *ruleset.Snapshot) []plan.Mismatch {
	return w.d.state.Mismatches(found)
}

// wanted returns what Services ask for, in numbers.
func (d *desired) wanted() *metrics.Wanted {
	return &metrics.Wanted{
		Frontends: d.claims.Size(), Backends: d.claims.Total,
		Internal: d.notes.Internal, External: d.notes.External, Fallbacks: d.notes.Fallbacks,
	}
}
