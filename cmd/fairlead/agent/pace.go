// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"fairlead/internal/worker"
)

// Until the first sync is over, the heap may grow by startGrowth bytes from one collection to the
// next, but not beyond startHeap, or by startPercent of what is in use if that is more. With the default
// of Go a small heap is collected often, for little, and a large one doubles.
const (
	startGrowth  = 14 << 20
	startHeap    = 46 << 20
	startPercent = 20
	// mostPercent bounds the target of a small heap, because the percentage also counts the stacks,
	// of which there are more a moment later.
	mostPercent = 400
	// A start may last, because the API server is away. After usualStart the pages of the program are
	// given back at most once per forgetEvery.
	usualStart  = 10 * time.Second
	forgetEvery = time.Second
)

// awaitStart chooses the target of the garbage collector after each collection until ready, which it
// asks every second, returns true. It returns false if ctx is done before.
func awaitStart(ctx context.Context, ready func() bool) bool {
	collected := worker.NewWake()
	f := forgetter{began: time.Now()}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	collected.Set()
	for !ready() {
		// Readiness is no news here: what the first sync leaves is dropped in the moments after it.
		for waits := true; waits; {
			select {
			case <-ctx.Done():
				return false
			case <-collected:
				paceStart(ctx, &f)
				notifyCollected(collected)
			case <-tick.C:
				waits = false
			}
		}
	}
	return true
}

// paceStart sets the target of the next collection. Once there is much in use it also gives the pages
// of the program back, because most of those that one phase of a start uses are not used in the
// next one, and the last phases have the peak.
func paceStart(ctx context.Context, f *forgetter) {
	h := readHeap()
	debug.SetGCPercent(startTarget(h))
	if h.live > startGrowth && f.due(time.Now()) {
		forgetProgram(ctx)
	}
}

// forgetter bounds how often the pages of the program are given back.
type forgetter struct{ began, last time.Time }

// due reports whether it is time, and notes it.
func (f *forgetter) due(now time.Time) bool {
	if now.Sub(f.began) > usualStart && now.Sub(f.last) < forgetEvery {
		return false
	}
	f.last = now
	return true
}

// notifyCollected sets wake once, after the next collection.
func notifyCollected(wake worker.Wake) {
	type sentinel struct{ _ *sentinel } // objects without a pointer share blocks, which may live on
	runtime.AddCleanup(&sentinel{}, worker.Wake.Set, wake)
}

// heap is what the last collection found, in bytes.
type heap struct {
	live  uint64 // objects in use
	roots uint64 // stacks and variables of packages
}

func readHeap() heap {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/globals:bytes"}, {Name: "/gc/scan/stack:bytes"}}
	metrics.Read(s)
	return heap{live: s[0].Value.Uint64(), roots: s[1].Value.Uint64() + s[2].Value.Uint64()}
}

// startTarget returns the target, in percent of what is in use and of the roots. See
// https://go.dev/doc/gc-guide#GOGC.
func startTarget(h heap) int {
	growth := min(startGrowth, startHeap-min(h.live, startHeap))
	return int(min(max(startPercent, growth*100/(h.live+h.roots+1)), mostPercent))
}
