// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"iter"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"fairlead/proxier/resolve"
	"fairlead/proxier/store"
)

// Costs are in elements, such as endpoints, that are handled: some 0.2 µs each.
const (
	// costOfUpdate is what one update may cost. The loop then writes a batch and looks at
	// the store again, so this bounds how long a change of another tenant waits.
	costOfUpdate = 1 << 14
	// costOfTurn is what a namespace may use up before the next one has its turn.
	costOfTurn = 1 << 12
	// costOfStep is how often work on one Service may be suspended.
	costOfStep = 1 << 9
	// costOfService is what a Service costs whatever its size.
	costOfService = 1 << 5
)

// turns holds the Services that wait to be resolved. Namespaces take turns, so a tenant
// with many or large changes delays its own ones only. The work on a Service that costs
// more than a turn is suspended until the next one.
type turns struct {
	order []string // namespaces with waiting Services, the next one first
	keys  map[string][]types.NamespacedName
	waits map[types.NamespacedName]struct{}
	jobs  map[string]*job // that are suspended, by namespace
	most  int             // that waited since waits was made
	// small reports whether the work on a Service needs no suspension.
	small func(types.NamespacedName) bool
}

// job is the work on one Service. next does a part of it and returns what that cost,
// false when all is done.
type job struct {
	key  types.NamespacedName
	next func() (int, bool)
	stop func()
}

func newTurns(small func(types.NamespacedName) bool) turns {
	return turns{keys: map[string][]types.NamespacedName{}, waits: map[types.NamespacedName]struct{}{}, jobs: map[string]*job{}, small: small}
}

// push adds a Service. One that is being resolved waits to be resolved once more.
func (t *turns) push(key types.NamespacedName) {
	if _, ok := t.waits[key]; ok {
		return
	}
	t.waits[key] = struct{}{}
	t.most = max(t.most, len(t.waits))
	if len(t.keys[key.Namespace]) == 0 && t.jobs[key.Namespace] == nil {
		t.order = append(t.order, key.Namespace)
	}
	t.keys[key.Namespace] = append(t.keys[key.Namespace], key)
}

// expect makes room for n Services, unless some wait already.
func (t *turns) expect(n int) {
	if n > store.MostIdle && len(t.waits) == 0 {
		t.waits = make(map[types.NamespacedName]struct{}, n)
	}
}

// len returns how many Services wait or are being resolved.
func (t *turns) len() int { return len(t.waits) + len(t.jobs) }

// running reports whether the work on a Service is suspended.
func (t *turns) running(key types.NamespacedName) bool {
	j := t.jobs[key.Namespace]
	return j != nil && j.key == key
}

// has reports whether a Service waits or is being resolved.
func (t *turns) has(key types.NamespacedName) bool {
	_, waits := t.waits[key]
	return waits || t.running(key)
}

// pop returns the first Service of the next namespace, which then waits for all others.
func (t *turns) pop() types.NamespacedName {
	key := t.popOf(t.order[0])
	t.rotate()
	return key
}

// peek returns the Services that are next: key, and of each namespace in its turn as many as
// a turn takes, n at most in all.
func (t *turns) peek(key types.NamespacedName, n int) []types.NamespacedName {
	out := append(make([]types.NamespacedName, 0, min(n, 1+len(t.waits))), key)
	for _, ns := range t.order {
		of := t.keys[ns]
		if out = append(out, of[:min(len(of), n-len(out), costOfTurn/costOfService)]...); len(out) == n {
			break
		}
	}
	return out
}

// popOf returns the first Service of a namespace.
func (t *turns) popOf(ns string) types.NamespacedName {
	key := t.keys[ns][0]
	if delete(t.waits, key); len(t.waits) == 0 && t.most > store.MostIdle {
		t.waits, t.most = map[types.NamespacedName]struct{}{}, 0
	}
	if t.keys[ns] = t.keys[ns][1:]; len(t.keys[ns]) == 0 {
		delete(t.keys, ns)
	}
	return key
}

// rotate ends the turn of the first namespace.
func (t *turns) rotate() {
	ns := t.order[0]
	t.order = t.order[1:]
	if len(t.keys[ns]) > 0 || t.jobs[ns] != nil {
		t.order = append(t.order, ns)
	}
}

// take gives the next namespace a turn: it continues what was suspended, then it begins its
// next Services, until the turn is used up or enough says so. It returns what that cost.
func (t *turns) take(resolve func(types.NamespacedName, resolve.Pause), enough func() bool) int {
	ns, cost := t.order[0], 0
	defer t.rotate()
	for cost < costOfTurn && !enough() {
		if t.jobs[ns] == nil {
			if len(t.keys[ns]) == 0 {
				break
			}
			key := t.popOf(ns)
			if t.small(key) {
				cost += costOfService
				resolve(key, func(n int) { cost += n })
				continue
			}
			t.jobs[ns] = newJob(key, resolve)
		}
		n, more := t.jobs[ns].next()
		cost += n
		if !more {
			delete(t.jobs, ns)
		}
	}
	return cost
}

// newJob begins the work on a Service. The job is over as soon as resolve returns.
func newJob(key types.NamespacedName, resolve func(types.NamespacedName, resolve.Pause)) *job {
	cost := costOfService
	take := func() (n int) {
		n, cost = cost, 0
		return n
	}
	next, stop := iter.Pull(func(yield func(int) bool) {
		goesOn := true
		resolve(key, func(n int) {
			if cost += n; cost >= costOfStep && goesOn {
				goesOn = yield(take())
			}
		})
	})
	return &job{key: key, stop: stop, next: func() (int, bool) {
		n, more := next()
		if !more {
			n = take()
		}
		return n, more
	}}
}

// takeAll resolves everything that waits, without a suspension.
func (t *turns) takeAll(resolve func(types.NamespacedName, resolve.Pause)) {
	t.stop()
	for len(t.order) > 0 {
		resolve(t.pop(), nil)
	}
	t.order = nil
}

// stop ends the work that is suspended: it is done to the end, and at once. Namespaces in
// which nothing waits then have no turn.
func (t *turns) stop() {
	for ns, j := range t.jobs {
		j.stop()
		delete(t.jobs, ns)
	}
	t.order = slices.DeleteFunc(t.order, func(ns string) bool { return len(t.keys[ns]) == 0 })
}
