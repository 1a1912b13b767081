// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"maps"
	"net/netip"
	"slices"

	"fairlead/internal/inet"
)

// Leaves returns a function that reports whether a connection from one address to another one
// is masqueraded because it leaves the cluster. It is about the settings and nodes of now, and
// safe for concurrent use.
func (s *State) Leaves() func(from, to netip.Addr) bool {
	e := &s.settings.Egress
	if len(e.Sources) == 0 {
		return nil
	}
	sources, kept := sortedRanges(e.Sources), sortedRanges(e.Kept(s.settings.Cluster))
	var nodes map[netip.Addr]struct{}
	if e.KeepNodes {
		nodes = maps.Clone(s.nodes)
	}
	return func(from, to netip.Addr) bool {
		_, node := nodes[to]
		return !node && contains(sources, from) && !contains(kept, to)
	}
}

// sortedRanges returns ranges in order, without those that others contain.
func sortedRanges(ranges []netip.Prefix) []netip.Prefix {
	return slices.Concat(inet.Normalize(ranges, inet.IPv4), inet.Normalize(ranges, inet.IPv6))
}
