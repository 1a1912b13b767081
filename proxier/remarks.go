// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"fairlead/nat"
	"fairlead/proxier/objects"
)

// notes keeps what people want to know of Services beyond their frontends:
// for logs and metrics only. Most Services have none.
type notes struct {
	byService   map[types.NamespacedName]note
	internal    int                    // Services with note.internal
	external    int                    // Services with note.external
	fallbacks   map[fallbackReason]int // Services
	hintChanges []hintChange           // of topology, not logged yet
	// users are the Services that have an address from a load balancer or a user.
	users map[netip.Addr]map[types.NamespacedName]struct{}
}

// clusterFacts is what the notes on a Service depend on, besides the Service.
type clusterFacts struct {
	self   Self
	zones  map[string]struct{}   // that nodes are in
	others map[netip.Addr]string // addresses of other nodes, and their names
}

// note is about one Service.
type note struct {
	// internal and external are set when there are endpoints, but none on this
	// node as the policy Local would have it.
	internal, external bool
	fallback           fallback     // why topology hints were not followed
	addrs              []netip.Addr // that a load balancer or a user gave it
}

// turn is a Service whose hints are followed no more, again, or for another
// reason.
type hintChange struct {
	service types.NamespacedName
	why     fallback
}

func newNotes() *notes {
	return &notes{byService: map[types.NamespacedName]note{}, fallbacks: map[fallbackReason]int{}, users: map[netip.Addr]map[types.NamespacedName]struct{}{}}
}

// maxHintChanges bounds what waits to be logged.
const maxHintChanges = 1 << 12

// set replaces the note on a Service, nil for one that is gone, and returns
// what is wrong with its addresses and the hints of its slices.
func (r *notes) set(key types.NamespacedName, svc *objects.Service, list []claim, from []*objects.Slice, facts *clusterFacts) []objects.Problem {
	old := r.byService[key]
	now := noteOn(list)
	r.count(&old, -1)
	r.count(&now, +1)
	if old.fallback.fallbackReason != now.fallback.fallbackReason && len(list) > 0 && len(r.hintChanges) < maxHintChanges {
		r.hintChanges = append(r.hintChanges, hintChange{key, now.fallback})
	}
	for _, ip := range old.addrs {
		delete(r.users[ip], key)
		if len(r.users[ip]) == 0 {
			delete(r.users, ip)
		}
	}
	for _, ip := range now.addrs {
		if r.users[ip] == nil {
			r.users[ip] = map[types.NamespacedName]struct{}{}
		}
		r.users[ip][key] = struct{}{}
	}
	if now.empty() {
		delete(r.byService, key)
	} else {
		r.byService[key] = now
	}
	if len(list) == 0 {
		return nil
	}
	return append(onNodes(svc, list, facts), strangeHints(from, facts.zones)...)
}

// usersOf returns the Services that have an address from a load balancer or a
// user for which nodes differ.
func (r *notes) usersOf(was, is map[netip.Addr]string) []types.NamespacedName {
	var out []types.NamespacedName
	for ip, users := range r.users {
		if was[ip] != is[ip] {
			out = slices.AppendSeq(out, maps.Keys(users))
		}
	}
	return out
}

// onNodes reports addresses that belong to nodes.
func onNodes(svc *objects.Service, list []claim, facts *clusterFacts) []objects.Problem {
	var out []objects.Problem
	put := func(field, format string, args ...any) {
		out = objects.AppendNew(out, objects.Problem{Kind: objects.KindService, Name: svc.Key.String(), UID: svc.UID, Field: field, Text: fmt.Sprintf(format, args...)})
	}
	for i := range list {
		c := &list[i]
		if c.use != useLoadBalancer && c.use != useExternalIP {
			continue
		}
		if slices.Contains(facts.self.Addrs, c.key.IP) {
			put(c.field, "%s is an address of this node: the port of the node itself is out of reach", c.key)
		}
		if node, ok := facts.others[c.key.IP]; ok {
			put(c.field, "%s is an address of Node %s, whose own ports of these numbers are out of reach", c.key.IP, node)
		}
	}
	return out
}

func (m *note) empty() bool {
	return !m.internal && !m.external && m.fallback == (fallback{}) && len(m.addrs) == 0
}

func (r *notes) count(m *note, n int) {
	if m.internal {
		r.internal += n
	}
	if m.external {
		r.external += n
	}
	why := m.fallback.fallbackReason
	if why == (fallbackReason{}) {
		return
	}
	if r.fallbacks[why] += n; r.fallbacks[why] == 0 {
		delete(r.fallbacks, why)
	}
}

// noteOn looks at the frontends of a Service.
func noteOn(list []claim) note {
	var m note
	for i := range list {
		c := &list[i]
		m.internal = m.internal || c.frontend.Policy == nat.Drop
		m.external = m.external || c.frontend.Policy == nat.Local && len(c.frontend.LocalBackends) == 0
		if m.fallback == (fallback{}) {
			m.fallback = c.fallback
		}
		if c.use == useLoadBalancer || c.use == useExternalIP {
			m.addrs = append(m.addrs, c.key.IP)
		}
	}
	slices.SortFunc(m.addrs, netip.Addr.Compare)
	m.addrs = slices.Compact(m.addrs)
	return m
}

// takeHintChanges returns what is to be logged about topology.
func (r *notes) takeHintChanges() []hintChange {
	out := r.hintChanges
	r.hintChanges = nil
	return out
}
