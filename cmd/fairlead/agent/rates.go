// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"hash/maphash"
	"strings"
	"sync"
	"time"

	"fairlead/nat"
	"fairlead/proxier/metrics"
)

const (
	// rateEvery is the shortest time between two readings of the counters. They are read
	// only while somebody looks at the page.
	rateEvery = 2 * time.Second
	// rateShare is how many times as long as a reading the pause after it is at least, so
	// that readings of a huge table cost a fixed share of a processor.
	rateShare = 20
	// rateLongest is the longest time that a rate may stand for.
	rateLongest = time.Minute
	// ratePatience bounds one reading.
	ratePatience = 5 * time.Second
)

// rates turns the kernel's counters into connections per second of each Service. A nil
// rates has none. Its methods are safe for concurrent use.
type rates struct {
	from metrics.Counters
	seed maphash.Seed

	reading sync.Mutex // held by the goroutine that reads
	next    time.Time  // guarded by reading
	last    map[uint64]uint64
	at      time.Time

	mu  sync.Mutex
	now rateTable
}

// rateTable is by namespace/name of the Service.
type rateTable struct {
	rated bool // there were two readings
	of    map[string]serviceRate
}

type serviceRate struct {
	connections uint64
	perSecond   float64
}

// newRates returns nil if nothing counts.
func newRates(from metrics.Counters) *rates {
	if from == nil {
		return nil
	}
	return &rates{from: from, seed: maphash.MakeSeed()}
}

// table returns the newest rates. One caller at a time reads the counters when they are
// due; others get the last ones at once.
func (r *rates) table(ctx context.Context) rateTable {
	if r == nil {
		return rateTable{}
	}
	if r.reading.TryLock() {
		if time.Now().After(r.next) {
			r.read(ctx)
		}
		r.reading.Unlock()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now
}

// read needs r.reading. After an error the last rates stay.
func (r *rates) read(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, ratePatience)
	defer cancel()
	start := time.Now()
	list, err := r.from.BackendCounters(ctx)
	took := time.Since(start)
	r.next = time.Now().Add(max(rateEvery, rateShare*took))
	if err != nil {
		return
	}
	t := r.compare(list, start)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now = t
}

// compare adds the increase of each counter to its Service. A counter begins at 0 when
// its endpoint gets another slot.
func (r *rates) compare(list []nat.BackendCounter, at time.Time) rateTable {
	span := at.Sub(r.at)
	t := rateTable{rated: r.last != nil && span < rateLongest, of: map[string]serviceRate{}}
	last := make(map[uint64]uint64, len(list))
	for i := range list {
		c := &list[i]
		key := maphash.Comparable(r.seed, nat.BackendCounter{Frontend: c.Frontend, Backend: c.Backend, Local: c.Local, Owner: c.Owner})
		last[key] = c.Connections
		name, _, _ := strings.Cut(c.Owner, ":")
		s := t.of[name]
		s.connections += c.Connections
		if t.rated {
			more := c.Connections
			if before := r.last[key]; more >= before {
				more -= before
			}
			s.perSecond += float64(more) / span.Seconds()
		}
		t.of[name] = s
	}
	r.last, r.at = last, at
	return t
}
