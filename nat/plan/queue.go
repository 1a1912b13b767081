// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"slices"
)

// queue holds keys in the order in which they came, each once. The zero value
// is not usable; see newQueue.
type queue[K comparable] struct {
	order []K // some may have been removed from waiting
	waits map[K]struct{}
}

func newQueue[K comparable]() queue[K] { return queue[K]{waits: map[K]struct{}{}} }

func (q *queue[K]) push(key K) {
	if _, ok := q.waits[key]; !ok {
		q.waits[key] = struct{}{}
		q.order = append(q.order, key)
	}
}

func (q *queue[K]) remove(key K) { delete(q.waits, key) }

func (q *queue[K]) len() int { return len(q.waits) }

// each calls f for the waiting keys in order until it returns false, and
// reports whether it got to the end.
func (q *queue[K]) each(f func(K) bool) bool {
	for _, key := range q.order {
		if _, ok := q.waits[key]; ok && !f(key) {
			return false
		}
	}
	return true
}

// compact forgets what was removed at the head, so that each stays cheap.
func (q *queue[K]) compact() {
	i := slices.IndexFunc(q.order, func(key K) bool {
		_, ok := q.waits[key]
		return ok
	})
	if i < 0 {
		q.order = nil
		return
	}
	q.order = q.order[i:]
}
