// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"fairlead/nat"
	"fairlead/proxier/objects"
)

// Notes keeps what people want to know of Services beyond their frontends:
// for logs and metrics only. Most Services have none.
type Notes struct {
	byService   map[types.NamespacedName]note
	Internal    int                    // Services with note.internal
	External    int                    // Services with note.external
	Fallbacks   map[FallbackReason]int // Services
	hintChanges []hintChange           // of topology, not logged yet
	// users are the Services that have an address from a load balancer or a user.
	users map[netip.Addr]map[types.NamespacedName]struct{}
}

// ClusterFacts is what the notes on a Service depend on, besides the Service.
type ClusterFacts struct {
	Self   Self
	Zones  map[string]struct{}   // that nodes are in
	Others map[netip.Addr]string // addresses of other nodes, and their names
}

// note is about one Service.
type note struct {
	// internal and external are set when there are endpoints, but none on this
	// node as the policy Local would have it.
	internal, external bool
	fallback           Fallback     // why topology hints were not followed
	addrs              []netip.Addr // that a load balancer or a user gave it
}

// turn is a Service whose hints are followed no more, again, or for another
// reason.
type hintChange struct {
	Service types.NamespacedName
	Why     Fallback
}

func NewNotes() *Notes {
	return &Notes{byService: map[types.NamespacedName]note{}, Fallbacks: map[FallbackReason]int{}, users: map[netip.Addr]map[types.NamespacedName]struct{}{}}
}

// maxHintChanges bounds what waits to be logged.
const maxHintChanges = 1 << 12

// Set replaces the note on a Service, nil for one that is gone, and returns
// what is wrong with its addresses and the hints of its slices.
func (r *Notes) Set(key types.NamespacedName, svc *objects.Service, list []Claim, from []*objects.Slice, facts *ClusterFacts) []objects.Problem {
	old := r.byService[key]
	now := noteOn(list)
	r.count(&old, -1)
	r.count(&now, +1)
	if old.fallback.FallbackReason != now.fallback.FallbackReason && len(list) > 0 && len(r.hintChanges) < maxHintChanges {
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
	return append(onNodes(svc, list, facts), strangeHints(from, facts.Zones)...)
}

// UsersOf returns the Services that have an address from a load balancer or a
// user for which nodes differ.
func (r *Notes) UsersOf(was, is map[netip.Addr]string) []types.NamespacedName {
	var out []types.NamespacedName
	for ip, users := range r.users {
		if was[ip] != is[ip] {
			out = slices.AppendSeq(out, maps.Keys(users))
		}
	}
	return out
}

// onNodes reports addresses that belong to nodes.
func onNodes(svc *objects.Service, list []Claim, facts *ClusterFacts) []objects.Problem {
	var out []objects.Problem
	put := func(field, format string, args ...any) {
		out = objects.AppendNew(out, objects.Problem{Kind: objects.KindService, Name: svc.Key.String(), UID: svc.UID, Field: field, Text: fmt.Sprintf(format, args...)})
	}
	for i := range list {
		c := &list[i]
		if c.use != useLoadBalancer && c.use != useExternalIP {
			continue
		}
		if slices.Contains(facts.Self.Addrs, c.key.IP) {
			put(c.Field, "%s is an address of this node: the port of the node itself is out of reach", c.key)
		}
		if node, ok := facts.Others[c.key.IP]; ok {
			put(c.Field, "%s is an address of Node %s, whose own ports of these numbers are out of reach", c.key.IP, node)
		}
	}
	return out
}

func (m *note) empty() bool {
	return !m.internal && !m.external && m.fallback == (Fallback{}) && len(m.addrs) == 0
}

func (r *Notes) count(m *note, n int) {
	if m.internal {
		r.Internal += n
	}
	if m.external {
		r.External += n
	}
	why := m.fallback.FallbackReason
	if why == (FallbackReason{}) {
		return
	}
	if r.Fallbacks[why] += n; r.Fallbacks[why] == 0 {
		delete(r.Fallbacks, why)
	}
}

// noteOn looks at the frontends of a Service.
func noteOn(list []Claim) note {
	var m note
	for i := range list {
		c := &list[i]
		m.internal = m.internal || c.Frontend.Policy == nat.Drop
		m.external = m.external || c.Frontend.Policy == nat.Local && len(c.Frontend.LocalBackends) == 0
		if m.fallback == (Fallback{}) {
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

// TakeHintChanges returns what is to be logged about topology.
func (r *Notes) TakeHintChanges() []hintChange {
	out := r.hintChanges
	r.hintChanges = nil
	return out
}
