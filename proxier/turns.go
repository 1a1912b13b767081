// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"k8s.io/apimachinery/pkg/types"
)

// slice bounds how many frontends one update changes, so that between two batches the loop
// reaches changes of other tenants. A Service with more frontends takes several updates.
const slice = 300

// turns holds the Services that wait to be resolved. Namespaces take turns, so a tenant
// with many changes delays its own ones only.
type turns struct {
	order []string // namespaces with waiting Services, the next one first
	keys  map[string][]types.NamespacedName
	waits map[types.NamespacedName]struct{}
}

func newTurns() turns {
	return turns{keys: map[string][]types.NamespacedName{}, waits: map[types.NamespacedName]struct{}{}}
}

func (t *turns) push(key types.NamespacedName) {
	if _, ok := t.waits[key]; ok {
		return
	}
	t.waits[key] = struct{}{}
	if len(t.keys[key.Namespace]) == 0 {
		t.order = append(t.order, key.Namespace)
	}
	t.keys[key.Namespace] = append(t.keys[key.Namespace], key)
}

func (t *turns) len() int { return len(t.waits) }

// pop returns the first Service of the next namespace, which then waits for all others.
func (t *turns) pop() types.NamespacedName {
	ns := t.order[0]
	t.order = t.order[1:]
	key := t.keys[ns][0]
	delete(t.waits, key)
	if t.keys[ns] = t.keys[ns][1:]; len(t.keys[ns]) > 0 {
		t.order = append(t.order, ns)
	} else {
		delete(t.keys, ns)
	}
	return key
}
