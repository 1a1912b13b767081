// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package status

import (
	"strings"
	"sync"
	"time"
)

// Bounds of a History.
const (
	keptRepairs     = 32
	keptSyncs       = 120
	keptProgramming = 240
	keptText        = 1 << 10 // bytes of one text
)

// History keeps what the loop did last. A nil History keeps nothing. Its methods are
// safe for concurrent use, and hold their lock for the time of a copy at most.
type History struct {
	mu   sync.Mutex
	past Past

	repairs     ring[Repair]
	syncs       ring[Sync]
	programming ring[Programming]
}

// Past is the content of a History. Its lists begin with the oldest entry.
type Past struct {
	Repairs     []Repair
	Syncs       []Sync
	Programming []Programming
	AllRepairs  int // with those that are no longer kept
	Frontends   int // that Services have at present
	Backends    int // counted for each frontend
}

// Repair is a repair of the table after another program changed it.
type Repair struct {
	At        time.Time
	By, Found string // the program, and the differences
}

// Sync is a round of the loop.
type Sync struct {
	At   time.Time // of its end
	Took time.Duration
	Err  string
}

// Programming is a change of endpoints that the kernel has.
type Programming struct {
	At   time.Time
	Took time.Duration // since the change was made in the API
}

// NewHistory returns an empty History.
func NewHistory() *History {
	return &History{
		repairs: newRing[Repair](keptRepairs), syncs: newRing[Sync](keptSyncs), programming: newRing[Programming](keptProgramming),
	}
}

// Repaired adds a repair. Its texts are shortened.
func (h *History) Repaired(r Repair) {
	if h == nil {
		return
	}
	r.By, r.Found = short(r.By), short(r.Found)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.past.AllRepairs++
	h.repairs.add(r)
}

// Synced adds a round that began at start and ends now.
func (h *History) Synced(start time.Time, err error) {
	if h == nil {
		return
	}
	s := Sync{At: time.Now(), Took: time.Since(start)}
	if err != nil {
		s.Err = short(err.Error())
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.syncs.add(s)
}

// Programmed adds a change that was made in the API at a time by another machine's clock,
// and that the kernel has now.
func (h *History) Programmed(made time.Time) {
	if h == nil {
		return
	}
	now := time.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.programming.add(Programming{At: now, Took: max(0, now.Sub(made))})
}

// Serves sets the present numbers of frontends and backends.
func (h *History) Serves(frontends, backends int) {
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.past.Frontends, h.past.Backends = frontends, backends
}

// Past returns a copy of the content.
func (h *History) Past() Past {
	if h == nil {
		return Past{}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	out := h.past
	out.Repairs, out.Syncs, out.Programming = h.repairs.list(), h.syncs.list(), h.programming.list()
	return out
}

func short(s string) string {
	if len(s) <= keptText {
		return s
	}
	return strings.ToValidUTF8(s[:keptText-3], "") + "..."
}

// ring keeps the last entries.
type ring[T any] struct {
	entries []T
	size    int
	next    int // the oldest entry, once all places are taken
}

func newRing[T any](size int) ring[T] { return ring[T]{size: size} }

func (r *ring[T]) add(v T) {
	if len(r.entries) < r.size {
		r.entries = append(r.entries, v)
		return
	}
	r.entries[r.next] = v
	r.next = (r.next + 1) % r.size
}

// list returns a copy, oldest first.
func (r *ring[T]) list() []T {
	out := make([]T, 0, len(r.entries))
	return append(append(out, r.entries[r.next:]...), r.entries[:r.next]...)
}
