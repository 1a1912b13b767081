// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"slices"

	"fairlead/internal/merge"
	"fairlead/nat"
	"fairlead/proxier/objects"
)

// Kept is how a Service with many endpoints was resolved, so that a change of a few slices costs little more
// than these: Advance. It holds no memory besides the lists of the claims.
type Kept struct {
	svc      *objects.Service
	builders []*builder
}

// leastKept is of how many endpoints a Service is kept. One with fewer is resolved in some ten µs.
const leastKept = 1 << 7

// Keep is Resolve. It also returns what Advance needs, or nil if the Service is small, or if the outcome
// for one endpoint may depend on all others: by topology hints, a policy Local, or an address that occurs
// twice. Slices with the port of the tunnels are left to Resolve.
func Keep(svc *objects.Service, list []*objects.Slice, facts *ClusterFacts, pause Pause) ([]Claim, []objects.Problem, *Kept) {
	builders := buildersOf(svc, list, &facts.Self, pause)
	claims, problems := claimAll(svc, builders, pause)
	if !mayKeep(svc, list, facts) || slices.ContainsFunc(builders, func(b *builder) bool { return !b.isPlain() }) {
		return claims, problems, nil
	}
	return claims, problems, keep(svc, builders)
}

// keep keeps builders without what only a full resolution needs.
func keep(svc *objects.Service, builders []*builder) *Kept {
	for _, b := range builders {
		b.choice, b.out, b.pause = choice{any: b.choice.any}, nil, nil
	}
	return &Kept{svc, builders}
}

// mayKeep reports whether the endpoints of a Service do not depend on each other.
func mayKeep(svc *objects.Service, list []*objects.Slice, facts *ClusterFacts) bool {
	if svc.InternalLocal || svc.ExternalLocal || svc.HealthCheckNodePort != 0 {
		return false
	}
	n := 0
	for _, s := range list {
		if n += len(s.Endpoints); facts.TunnelPort != 0 && hasPort(s, facts.TunnelPort) || s.HasHints() {
			return false
		}
	}
	return n >= leastKept
}

// isPlain reports whether each endpoint occurs once, and cluster are those that are ready. It is for a
// builder that has its choice.
func (b *builder) isPlain() bool {
	return b.unique && (len(b.choice.existing) == 0 || len(b.cluster) > 0 && b.choice.cluster[0].isReady())
}

// Advance returns what Resolve does, after a few slices changed by their endpoints only, with the Kept for the next
// change. self is the node as it was then. It reports false if the Service has to be resolved.
func (k *Kept) Advance(was, now []*objects.Slice, self *Self, pause Pause) ([]Claim, []objects.Problem, *Kept, bool) {
	if slices.ContainsFunc(now, (*objects.Slice).HasHints) {
		return nil, nil, nil, false
	}
	builders := make([]*builder, len(k.builders))
	for i, b := range k.builders {
		next, ok := b.advance(was, now, self, pause)
		if !ok {
			return nil, nil, nil, false
		}
		builders[i] = next
	}
	claims, problems := claimAll(k.svc, builders, pause)
	return claims, problems, keep(k.svc, builders), true
}

// costOfCopy is how many endpoints are copied in the time of one that is resolved.
const costOfCopy = 1 << 5

// advance returns a builder with other endpoints.
func (b *builder) advance(was, now []*objects.Slice, self *Self, pause Pause) (*builder, bool) {
	old, oldUnique := endpointsOf(was, b.port, b.v6, self, pause)
	fresh, freshUnique := endpointsOf(now, b.port, b.v6, self, pause)
	if !oldUnique || !freshUnique {
		return nil, false
	}
	cluster := exchangeOf(old, fresh, target.isReady, func(t target) nat.Backend { return nat.BackendAt(t.backend(), t.on(self)) })
	serving := exchangeOf(old, fresh, target.isServing, target.backend)
	existing := exchangeOf(old, fresh, func(target) bool { return true }, target.backend)
	pause.after(len(b.cluster) / costOfCopy)
	next := *b
	var one, two, three bool
	next.cluster, one = nat.PatchBackends(b.cluster, cluster.gone, cluster.came)
	next.existing, two = b.existing.Patch(existing.gone, existing.came)
	if next.serving, three = next.existing, true; b.serving.Len()-len(serving.gone)+len(serving.came) != next.existing.Len() {
		next.serving, three = b.serving.Patch(serving.gone, serving.came)
	}
	next.pause, next.choice.any = pause, len(next.cluster) > 0
	return &next, one && two && three && (next.choice.any || next.existing.Len() == 0)
}

// exchange is what goes and what comes in a list.
type exchange[T comparable] struct{ gone, came []T }

// exchangeOf compares two lists of targets, both sorted. It looks at those that have a property.
func exchangeOf[T comparable](old, fresh []target, has func(target) bool, item func(target) T) (x exchange[T]) {
	for was, is := range merge.Sorted(old, fresh, target.compare, nil) {
		leaves, enters := was != nil && has(*was), is != nil && has(*is)
		if leaves && enters && item(*was) == item(*is) {
			continue
		}
		if leaves {
			x.gone = append(x.gone, item(*was))
		}
		if enters {
			x.came = append(x.came, item(*is))
		}
	}
	return x
}
