// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import "slices"

// queue holds keys in the order in which they came, each once. The zero value
// is not usable; see newQueue.
type queue[K comparable] struct {
	order []entry[K]
	waits map[K]uint64 // the entry of a key that waits
	last  uint64
}

// entry is a key in the order. It counts only while waits has its number: a key
// that was removed and pushed again has a newer entry.
type entry[K comparable] struct {
	key    K
	number uint64
}

func newQueue[K comparable]() queue[K] { return queue[K]{waits: map[K]uint64{}} }

// sizedQueue returns a queue with room for n keys.
func sizedQueue[K comparable](n int) queue[K] {
	return queue[K]{order: make([]entry[K], 0, n), waits: make(map[K]uint64, n)}
}

func (q *queue[K]) push(key K) {
	if _, ok := q.waits[key]; !ok {
		q.last++
		q.waits[key] = q.last
		q.order = append(q.order, entry[K]{key, q.last})
	}
}

func (q *queue[K]) remove(key K) { delete(q.waits, key) }

func (q *queue[K]) len() int { return len(q.waits) }

// each calls f for the waiting keys in order until it returns false, and
// reports whether it reached the end.
func (q *queue[K]) each(f func(K) bool) bool {
	for _, e := range q.order {
		if q.isWaiting(e) && !f(e.key) {
			return false
		}
	}
	return true
}

func (q *queue[K]) isWaiting(e entry[K]) bool { return q.waits[e.key] == e.number }

// cursor goes through the waiting keys of a queue, in order.
type cursor[K comparable] struct {
	q  *queue[K]
	at int
}

// next returns the next key, false at the end.
func (c *cursor[K]) next() (key K, ok bool) {
	for ; c.at < len(c.q.order); c.at++ {
		if e := c.q.order[c.at]; c.q.isWaiting(e) {
			c.at++
			return e.key, true
		}
	}
	return key, false
}

// compact drops the removed keys at the head, so that each stays cheap.
func (q *queue[K]) compact() {
	i := slices.IndexFunc(q.order, q.isWaiting)
	if i < 0 {
		q.order = nil
		return
	}
	q.order = q.order[i:]
}

// sort orders the waiting keys.
func (q *queue[K]) sort(compare func(a, b K) int) {
	slices.SortFunc(q.order, func(a, b entry[K]) int { return compare(a.key, b.key) })
}
