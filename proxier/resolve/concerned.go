// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/types"
)

// Concerned returns the Services that a change of nodes concerns, apart from what is true of
// the node itself. Only a new or a removed range of pods costs more than these Services: it
// is compared with each address that a load balancer or a user gave to a Service.
func (r *Notes) Concerned(c *NodeChange) []types.NamespacedName {
	var out []types.NamespacedName
	add := func(of map[types.NamespacedName]struct{}) { out = slices.AppendSeq(out, maps.Keys(of)) }
	for ip := range c.others {
		add(r.users[ip])
		add(r.tunnels[ip])
	}
	for ip := range c.addrs {
		if _, listed := c.others[ip]; !listed {
			add(r.tunnels[ip])
		}
	}
	if len(c.pods) > 0 {
		ranges := newPrefixSet(slices.Collect(maps.Keys(c.pods)))
		for ip, users := range r.users {
			if ranges.contains(ip) {
				add(users)
			}
		}
	}
	if c.anyZone {
		for _, of := range r.hinted {
			add(of)
		}
	}
	for zone := range c.zones {
		add(r.hinted[zone])
	}
	return out
}
