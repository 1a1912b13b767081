// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"slices"

	"fairlead/internal/inet"
)

// byNamespace holds frontends in a queue for each namespace, so that a tenant with many
// changes delays its own ones only.
type byNamespace struct {
	of    map[string]*queue[inet.Addr]
	order []string // namespaces with a queue, the next one first
	spare *queue[inet.Addr]
}

func newByNamespace() byNamespace { return byNamespace{of: map[string]*queue[inet.Addr]{}} }

// queue returns the queue of a namespace, and makes it if there is none.
func (b *byNamespace) queue(namespace string) *queue[inet.Addr] {
	q := b.of[namespace]
	if q == nil {
		if q = b.spare; q == nil {
			q = new(newQueue[inet.Addr]())
		}
		b.of[namespace], b.spare = q, nil
		b.order = append(b.order, namespace)
	}
	return q
}

// lenOf returns how many frontends of a namespace wait.
func (b *byNamespace) lenOf(namespace string) int {
	if q := b.of[namespace]; q != nil {
		return q.len()
	}
	return 0
}

func (b *byNamespace) len() (n int) {
	for _, q := range b.of {
		n += q.len()
	}
	return n
}

// each calls f for all frontends, one namespace after the other, until it returns false. It
// reports whether it reached the end.
func (b *byNamespace) each(f func(inet.Addr) bool) bool {
	return !slices.ContainsFunc(b.order, func(namespace string) bool { return !b.of[namespace].each(f) })
}

// eachInTurn calls f for a frontend of each namespace, then for the next ones, until it
// returns false.
func (b *byNamespace) eachInTurn(f func(inet.Addr) bool) {
	left := make([]cursor[inet.Addr], len(b.order))
	for i, namespace := range b.order {
		left[i].q = b.of[namespace]
	}
	for len(left) > 0 {
		n := 0
		for _, c := range left {
			key, ok := c.next()
			if !ok {
				continue
			}
			if !f(key) {
				return
			}
			left[n] = c
			n++
		}
		left = left[:n]
	}
}

// rotate gives the next namespace the first turn.
func (b *byNamespace) rotate() {
	if len(b.order) > 1 {
		b.order = append(b.order[1:], b.order[0])
	}
}

// compact drops the frontends that were removed, and the namespaces that have none.
func (b *byNamespace) compact() {
	for namespace, q := range b.of {
		if q.compact(); q.len() == 0 {
			delete(b.of, namespace)
			b.spare = q // most changes are of one namespace
		}
	}
	b.order = slices.DeleteFunc(b.order, func(namespace string) bool { return b.of[namespace] == nil })
}
