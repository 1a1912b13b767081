// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"testing"
	"time"
)

// TestStartTarget: a heap grows by the same number of bytes, then to the same size, until that is less
// than the percentage.
func TestStartTarget(t *testing.T) {
	const mb = 1 << 20
	for _, tt := range []struct {
		heap heap
		want int
	}{
		{heap{}, mostPercent}, {heap{live: 1}, mostPercent}, {heap{live: 2 * mb, roots: mb}, mostPercent},
		{heap{live: 8 * mb}, 174}, {heap{live: 15 * mb, roots: mb}, 87}, {heap{live: 32 * mb}, 43},
		{heap{live: 36 * mb}, 27}, {heap{live: 39 * mb}, startPercent}, {heap{live: 46 * mb}, startPercent}, {heap{live: 1 << 40}, startPercent},
	} {
		if got := startTarget(tt.heap); got != tt.want {
			t.Errorf("%+v: %d %%, want %d %%", tt.heap, got, tt.want)
		}
	}
}

// TestForgetter: pages are given back after each collection of a usual start, and once a second later.
func TestForgetter(t *testing.T) {
	f := forgetter{began: time.Unix(100, 0)}
	count := func(from time.Duration) (times int) {
		for i := range 100 { // 5 s
			if f.due(f.began.Add(from + time.Duration(i)*50*time.Millisecond)) {
				times++
			}
		}
		return times
	}
	if n := count(0); n != 100 {
		t.Errorf("%d times in the first 5 s, want 100", n)
	}
	if n := count(time.Hour); n != 5 {
		t.Errorf("%d times in 5 s after an hour, want 5", n)
	}
}

var kept []byte // a heap for TestAwaitStart

// TestAwaitStart: each collection chooses the next target until the start is over.
func TestAwaitStart(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var over atomic.Bool
	done := make(chan bool, 1)
	go func() { done <- awaitStart(ctx, over.Load) }()
	await := func(what string, ok func(target uint64) bool) {
		t.Helper()
		for !ok(target()) {
			if ctx.Err() != nil {
				t.Fatalf("%s: the target is %d %%", what, target())
			}
			runtime.GC() // one that came before the agent waited for it does not count
			<-time.After(time.Millisecond)
		}
	}
	for range 3 {
		kept = make([]byte, 4*startGrowth)
		await("a large heap", func(percent uint64) bool { return percent == startPercent })
		kept = nil
		await("a small heap", func(percent uint64) bool { return percent > startPercent && percent != 100 })
	}
	over.Store(true)
	if !<-done {
		t.Error("the start is not over")
	}
	cancel()
	over.Store(false)
	if awaitStart(ctx, over.Load) {
		t.Error("a start is over that was given up")
	}
}
