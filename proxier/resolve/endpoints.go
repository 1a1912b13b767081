// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"cmp"
	"slices"

	"fairlead/proxier/objects"
)

// endpointsOf merges what the slices of a Service say about a port, sorted by address and
// port. An address that occurs twice counts once: as ready where one says so, and of two
// that say the same as the one on this node. unique reports that none does.
func endpointsOf(list []*objects.Slice, port *objects.ServicePort, v6 bool, self *Self, pause Pause) (out []target, unique bool) {
	out = make([]target, 0, countEndpoints(list, port, v6))
	eachPort(list, port, v6, func(s *objects.Slice, number uint16) {
		for i := range s.Endpoints {
			out = append(out, target{&s.Endpoints[i], number})
		}
		pause.after(len(s.Endpoints))
	})
	slices.SortFunc(out, func(a, b target) int {
		pause.after(1)
		return cmp.Or(a.compare(b), cmp.Compare(b.rank(self), a.rank(self)))
	})
	all := len(out)
	out = slices.CompactFunc(out, func(a, b target) bool { return a.compare(b) == 0 })
	return out, len(out) == all
}

// eachPort calls f for each slice of the family that has the port, with its number there.
func eachPort(list []*objects.Slice, port *objects.ServicePort, v6 bool, f func(s *objects.Slice, number uint16)) {
	for _, s := range list {
		if s.IPv6 != v6 {
			continue
		}
		for _, p := range s.Ports {
			if p.Name == port.Name && p.Proto == port.Proto {
				f(s, p.Port)
			}
		}
	}
}

func countEndpoints(list []*objects.Slice, port *objects.ServicePort, v6 bool) (n int) {
	eachPort(list, port, v6, func(s *objects.Slice, _ uint16) { n += len(s.Endpoints) })
	return n
}

// choice is which endpoints may take a connection. Its lists are sorted by address and
// port; they may share memory.
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
func choose(eps []target, self *Self, pause Pause) choice {
	var c choice
	filter := func(in []target, keep func(target) bool) []target {
		pause.after(len(in))
		return filter(in, keep)
	}
	onNode := func(t target) bool { return t.on(self) }
	ready := filter(eps, target.isReady)
	draining := filter(eps, target.isDraining)
	c.existing = eps
	c.any = len(ready)+len(draining) > 0
	c.serving = filter(eps, target.isServing)

	c.cluster, c.level, c.fallback = byTopology(ready, self)
	pause.after(2 * len(ready))
	if len(c.cluster) == 0 {
		c.cluster = draining
	}
	c.local = filter(ready, onNode)
	if len(c.local) == 0 {
		c.local = filter(draining, onNode)
	}
	return c
}

// filter returns the targets that keep accepts: the list itself where that is all of it.
func filter(in []target, keep func(target) bool) []target {
	n := 0
	for _, t := range in {
		if keep(t) {
			n++
		}
	}
	switch n {
	case 0:
		return nil
	case len(in):
		return in
	}
	out := make([]target, 0, n)
	for _, t := range in {
		if keep(t) {
			out = append(out, t)
		}
	}
	return out
}
