// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"maps"
	"net/netip"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"fairlead/proxier/objects"
)

// index has the Services that depend on a thing, such as an address.
type index[K comparable] map[K]map[types.NamespacedName]struct{}

// replace makes a Service depend on now instead of old.
func (x index[K]) replace(key types.NamespacedName, old, now []K) {
	for _, k := range old {
		delete(x[k], key)
		if len(x[k]) == 0 {
			delete(x, k)
		}
	}
	for _, k := range now {
		if x[k] == nil {
			x[k] = map[types.NamespacedName]struct{}{}
		}
		x[k][key] = struct{}{}
	}
}

// tunnelEndpoints returns the addresses of endpoints at the port of the tunnels.
func tunnelEndpoints(from []*objects.Slice, port uint16) []netip.Addr {
	var out []netip.Addr
	for _, s := range from {
		if port == 0 || !hasPort(s, port) {
			continue
		}
		for i := range s.Endpoints {
			out = append(out, s.Endpoints[i].Addr)
		}
	}
	return out
}

// hintedZones returns the zones that hints name.
func hintedZones(from []*objects.Slice) []string {
	var seen map[string]struct{}
	for _, s := range from {
		for i := range s.Endpoints {
			zones := s.Endpoints[i].ForZones
			if zones.IsEmpty() || i > 0 && zones == s.Endpoints[i-1].ForZones {
				continue
			}
			if seen == nil {
				seen = map[string]struct{}{}
			}
			for _, zone := range zones.List() {
				seen[zone] = struct{}{}
			}
		}
	}
	if seen == nil {
		return nil
	}
	return slices.Collect(maps.Keys(seen))
}
