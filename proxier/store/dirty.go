// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package store

import "k8s.io/apimachinery/pkg/types"

// dirtyNames holds names, each once, in the order in which they came. To take thousands of
// them costs no more than to take one, because the loop takes them while others change.
type dirtyNames struct {
	order []types.NamespacedName
	has   map[types.NamespacedName]struct{}
}

func (d *dirtyNames) add(name types.NamespacedName) {
	if _, is := d.has[name]; is {
		return
	}
	if d.has == nil {
		d.has = map[types.NamespacedName]struct{}{}
	}
	d.has[name] = struct{}{}
	d.order = append(d.order, name)
}

// expect makes room for n names, unless there are some already: a map that grows to the size of a
// cluster takes as much memory again on the way.
func (d *dirtyNames) expect(n int) {
	if n > MostIdle && len(d.has) == 0 {
		d.has, d.order = make(map[types.NamespacedName]struct{}, n), make([]types.NamespacedName, 0, n)
	}
}

// take returns all names and forgets them.
func (d *dirtyNames) take() []types.NamespacedName {
	out := d.order
	d.order, d.has = nil, Emptied(d.has)
	return out
}
