// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package resolve

import (
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
	users index[netip.Addr]
	// tunnels are the Services with an endpoint at the port of the tunnels, by its address.
	tunnels index[netip.Addr]
	// hinted are the Services with hints for a zone.
	hinted index[string]
}

// note is about one Service.
type note struct {
	// internal and external are set when there are endpoints, but none on this
	// node as the policy Local would have it.
	internal, external bool
	fallback           Fallback     // why topology hints were not followed
	addrs              []netip.Addr // that a load balancer or a user gave it
	tunnels            []netip.Addr // of endpoints at the port of the tunnels
	zones              []string     // that hints name
}

// hintChange is a Service whose topology hints are followed again, ignored from now on,
// or ignored for another reason.
type hintChange struct {
	Service types.NamespacedName
	Why     Fallback
}

// NewNotes returns empty notes.
func NewNotes() *Notes {
	return &Notes{byService: map[types.NamespacedName]note{}, Fallbacks: map[FallbackReason]int{}, users: index[netip.Addr]{}, tunnels: index[netip.Addr]{}, hinted: index[string]{}}
}

// maxHintChanges bounds what waits to be logged.
const maxHintChanges = 1 << 12

// Set replaces the note on a Service, nil for one that is gone, and returns what is
// wrong with the hints of its slices.
func (r *Notes) Set(key types.NamespacedName, svc *objects.Service, list []Claim, from []*objects.Slice, facts *ClusterFacts) []objects.Problem {
	old := r.byService[key]
	now := noteOn(svc, list)
	now.tunnels, now.zones = tunnelEndpoints(from, facts.TunnelPort), hintedZones(from)
	r.count(&old, -1)
	r.count(&now, +1)
	if old.fallback.FallbackReason != now.fallback.FallbackReason && len(list) > 0 && len(r.hintChanges) < maxHintChanges {
		r.hintChanges = append(r.hintChanges, hintChange{key, now.fallback})
	}
	r.users.replace(key, old.addrs, now.addrs)
	r.tunnels.replace(key, old.tunnels, now.tunnels)
	r.hinted.replace(key, old.zones, now.zones)
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

func (m *note) empty() bool {
	return !m.internal && !m.external && m.fallback == (Fallback{}) && len(m.addrs)+len(m.tunnels)+len(m.zones) == 0
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
		if m.fallback == (Fallback{}) && c.fallback != nil {
			m.fallback = *c.fallback
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
