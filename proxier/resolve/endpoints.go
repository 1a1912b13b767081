// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"net/netip"

	"fairlead/proxier/objects"
)

// endpointsOf merges what the slices of a Service say about a port. An address
// that occurs twice counts once: as ready where one says so, and of two that say
// the same as the one on this node.
func endpointsOf(list []*objects.Slice, port *objects.ServicePort, v6 bool, self *Self) []target {
	var out []target
	index := map[netip.AddrPort]int{}
	for _, s := range list {
		if s.IPv6 != v6 {
			continue
		}
		for _, p := range s.Ports {
			if p.Name != port.Name || p.Proto != port.Proto {
				continue
			}
			for _, ep := range s.Endpoints {
				t := target{ep, p.Port}
				i, twice := index[t.backend()]
				if !twice {
					index[t.backend()] = len(out)
					out = append(out, t)
				} else if t.rank(self) > out[i].rank(self) {
					out[i] = t
				}
			}
		}
	}
	return out
}

// choice is which endpoints may take a connection.
type choice struct {
	// cluster are those that any client may be sent to: the ready ones, by
	// topology; without any, those that still serve while they terminate
	// (KEP-1669).
	cluster []target
	// local are the same among those on this node, whatever the topology.
	local []target
	// serving are all that still answer, whoever may be sent to them: flows to
	// them are left alone.
	serving []target
	// existing are all endpoints, whatever their conditions.
	existing []target
	// any is set when some node has an endpoint that could take a connection.
	any bool
	// fallback says why hints, which some endpoint has, were not followed.
	fallback Fallback
	// level is the level whose hints were followed, "" for none.
	level string
}

// choose applies kube-proxy's rules: local and cluster fall back independently.
func choose(eps []target, self *Self) choice {
	var c choice
	onNode := func(t target) bool { return t.on(self) }
	ready := filter(eps, target.isReady)
	draining := filter(eps, target.isDraining)
	c.existing = eps
	c.any = len(ready)+len(draining) > 0
	c.serving = filter(eps, func(t target) bool { return t.Serving || t.Ready })

	c.cluster, c.level, c.fallback = byTopology(ready, self)
	if len(c.cluster) == 0 {
		c.cluster = draining
	}
	c.local = filter(ready, onNode)
	if len(c.local) == 0 {
		c.local = filter(draining, onNode)
	}
	return c
}

func filter(in []target, keep func(target) bool) []target {
	var out []target
	for _, t := range in {
		if keep(t) {
			out = append(out, t)
		}
	}
	return out
}
