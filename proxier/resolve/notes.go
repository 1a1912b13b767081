// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"maps"
	"net/netip"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"fairlead/nat"
	"fairlead/proxier/objects"
)

// Notes keeps facts about Services for logs and metrics, and which Services a change of
// the cluster concerns.
type Notes struct {
	byService   map[types.NamespacedName]note
	Internal    int                    // Services with note.internal
	External    int                    // Services with note.external
	Fallbacks   map[FallbackReason]int // Services
	hintChanges []hintChange           // of topology, not logged yet
	// users are the Services that have an address from a load balancer or a user.
	users map[netip.Addr]map[types.NamespacedName]struct{}
	// tunnels are the Services with an endpoint at the port of the tunnels.
	tunnels map[types.NamespacedName]struct{}
}

// note is about one Service.
type note struct {
	// internal and external are set when there are endpoints, but none on this
	// node as the policy Local would have it.
	internal, external bool
	fallback           Fallback     // why topology hints were not followed
	addrs              []netip.Addr // that a load balancer or a user gave it
}

// hintChange is a Service whose topology hints are followed again, ignored from now on,
// or ignored for another reason.
type hintChange struct {
	Service types.NamespacedName
	Why     Fallback
}

// NewNotes returns empty notes.
func NewNotes() *Notes {
	return &Notes{byService: map[types.NamespacedName]note{}, Fallbacks: map[FallbackReason]int{}, users: map[netip.Addr]map[types.NamespacedName]struct{}{}, tunnels: map[types.NamespacedName]struct{}{}}
}

// maxHintChanges bounds what waits to be logged.
const maxHintChanges = 1 << 12

// Set replaces the note on a Service, nil for one that is gone, and returns what is
// wrong with the hints of its slices.
func (r *Notes) Set(key types.NamespacedName, svc *objects.Service, list []Claim, from []*objects.Slice, facts *ClusterFacts) []objects.Problem {
	old := r.byService[key]
	now := noteOn(svc, list)
	delete(r.tunnels, key)
	if facts.TunnelPort != 0 && slices.ContainsFunc(from, func(s *objects.Slice) bool { return hasPort(s, facts.TunnelPort) }) {
		r.tunnels[key] = struct{}{}
	}
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
	return strangeHints(from, facts.Zones)
}

// Concerned returns the Services that a change of facts concerns, but for those that
// are true of the node itself.
func (r *Notes) Concerned(was, is *ClusterFacts) []types.NamespacedName {
	var out []types.NamespacedName
	for ip, users := range r.users {
		if was.concerns(is, ip) {
			out = slices.AppendSeq(out, maps.Keys(users))
		}
	}
	return slices.AppendSeq(out, maps.Keys(r.tunnels))
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
func noteOn(svc *objects.Service, list []Claim) note {
	var m note
	for i := range list {
		c := &list[i]
		m.internal = m.internal || c.Frontend.Policy == nat.Drop
		m.external = m.external || c.Frontend.Policy == nat.Local && len(c.Frontend.LocalBackends) == 0
		if m.fallback == (Fallback{}) {
			m.fallback = c.fallback
		}
	}
	if svc != nil {
		m.addrs = slices.Concat(svc.LoadBalancerIPs, svc.ExternalIPs)
	}
	return m
}

// TakeHintChanges returns what is to be logged about topology.
func (r *Notes) TakeHintChanges() []hintChange {
	out := r.hintChanges
	r.hintChanges = nil
	return out
}
