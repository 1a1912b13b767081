// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package worker_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fairlead/internal/worker"
)

var backoff = worker.Backoff{First: time.Second, Last: 4 * time.Second}

// TestNoWorkIsLost adds from many goroutines while passes run. Each addition
// must be seen by exactly one pass, whenever it comes: between the end of a pass
// and its next look, too.
func TestNoWorkIsLost(t *testing.T) {
	const adders, each = 8, 2000
	inbox := worker.NewInbox[map[int]int]()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan int)
	go func() {
		seen := 0
		_ = worker.Run(ctx, inbox.Woken(), backoff, func(context.Context) error {
			for _, n := range inbox.Take() {
				seen += n
			}
			if seen == adders*each {
				cancel()
			}
			return nil
		})
		done <- seen
	}()
	var wg sync.WaitGroup
	for i := range adders {
		wg.Go(func() {
			for range each {
				inbox.Add(func(work *map[int]int) bool {
					if *work == nil {
						*work = map[int]int{}
					}
					(*work)[i]++
					return true
				})
			}
		})
	}
	wg.Wait()
	select {
	case seen := <-done:
		if seen != adders*each {
			t.Errorf("passes saw %d additions, want %d", seen, adders*each)
		}
	case <-time.After(30 * time.Second):
		t.Error("the last additions woke nobody")
		cancel()
		<-done
	}
}

// TestAddWithoutWake leaves the worker asleep, and keeps the work for later.
func TestAddWithoutWake(t *testing.T) {
	inbox := worker.NewInbox[int]()
	inbox.Add(func(n *int) bool { *n = 3; return false })
	select {
	case <-inbox.Woken():
		t.Error("Add woke the worker although its function returned false")
	default:
	}
	if got := inbox.Take(); got != 3 {
		t.Errorf("Take: got %d, want 3", got)
	}
	if got := inbox.Take(); got != 0 {
		t.Errorf("second Take: got %d, want 0", got)
	}
}

// TestBackoff measures the delays between failed passes on a clock of its own.
func TestBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		inbox := worker.NewInbox[int]()
		inbox.Wake()
		start := time.Now()
		var at []time.Duration
		err := worker.Run(ctx, inbox.Woken(), backoff, func(context.Context) error {
			at = append(at, time.Since(start))
			switch len(at) {
			case 5: // a success, then a new failure begins with the first delay
				inbox.Wake()
				return nil
			case 7:
				cancel()
			}
			return errors.New("no")
		})
		if err != nil {
			t.Errorf("Run: %v", err)
		}
		want := []time.Duration{0, 1, 3, 7, 11, 11, 12}
		for i := range want {
			if i >= len(at) || at[i] != want[i]*time.Second {
				t.Fatalf("passes at %v, want %v (in seconds)", at, want)
			}
		}
	})
}

// TestWakeCutsTheDelayShort makes work that comes during a delay wait for nothing.
func TestWakeCutsTheDelayShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		inbox := worker.NewInbox[int]()
		inbox.Wake()
		start, passes := time.Now(), 0
		_ = worker.Run(ctx, inbox.Woken(), worker.Backoff{First: time.Hour, Last: time.Hour}, func(context.Context) error {
			if passes++; passes == 1 {
				time.AfterFunc(time.Second, inbox.Wake)
				return errors.New("no")
			}
			cancel()
			return nil
		})
		if got := time.Since(start); got != time.Second {
			t.Errorf("second pass after %v, want 1s", got)
		}
	})
}

// TestNotTried wakes a worker that rests all the time. Its failed pass is repeated when it
// would have been without these wake-ups.
func TestNotTried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		inbox := worker.NewInbox[int]()
		inbox.Wake()
		start, woken := time.Now(), time.Now()
		var at []time.Duration
		_ = worker.Run(ctx, inbox.Woken(), backoff, func(context.Context) error {
			if time.Since(woken) == 600*time.Millisecond {
				woken = time.Now()
				time.AfterFunc(600*time.Millisecond, inbox.Wake)
				return worker.ErrNotTried
			}
			if at = append(at, time.Since(start)); len(at) == 1 {
				time.AfterFunc(600*time.Millisecond, inbox.Wake)
			}
			if len(at) == 4 {
				cancel()
			}
			return errors.New("no")
		})
		for i, want := range []time.Duration{0, 1, 3, 7} {
			if i >= len(at) || at[i] != want*time.Second {
				t.Fatalf("passes at %v, want [0 1 3 7] (in seconds)", at)
			}
		}
	})
}

// TestAwait returns early on success and false at the end of the context.
func TestAwait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		if !worker.Await(t.Context(), time.Second, func() bool { n++; return n == 3 }) || n != 3 {
			t.Errorf("Await gave up after %d looks", n)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if worker.Await(ctx, time.Second, func() bool { return false }) {
			t.Error("Await succeeded although nothing became ready")
		}
	})
}

// TestRepeat calls at once, at each interval and at a wake-up, which shifts no interval.
func TestRepeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		wake, start := worker.NewWake(), time.Now()
		time.AfterFunc(1500*time.Millisecond, wake.Set)
		var at []time.Duration
		err := worker.Repeat(ctx, time.Second, wake, func() {
			if at = append(at, time.Since(start)); len(at) == 4 {
				cancel()
			}
		})
		want := []time.Duration{0, time.Second, 1500 * time.Millisecond, 2 * time.Second}
		if err != nil || !slices.Equal(at, want) {
			t.Errorf("calls at %v, %v, want %v", at, err, want)
		}
	})
}
