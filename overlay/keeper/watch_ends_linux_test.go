// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package keeper

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"fairlead/internal/netns"
	"fairlead/overlay"
	"fairlead/overlay/kernel"
)

// TestWatchEnds lets the watch end three times with one error and once with another. Each new error
// asks for a pass, and the reports have the number of ends.
func TestWatchEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		k, err := New(nil, Options{})
		if err != nil {
			t.Fatal(err)
		}
		ends := []error{errors.New("no room"), errors.New("no room"), errors.New("no room"), errors.New("no socket")}
		k.events = func(ctx context.Context, _ *netns.NS, _ func() *kernel.Interest, _ func([]kernel.Event), _ func()) error {
			if len(ends) == 0 {
				<-ctx.Done()
				return ctx.Err()
			}
			err := ends[0]
			ends = ends[1:]
			return err
		}
		go func() { _ = k.watch(ctx) }()
		expect := func(wakes bool, load bool, ends int, text string) {
			t.Helper()
			synctest.Wait()
			woken := false
			select {
			case <-k.inbox.Woken():
				woken = true
			default:
			}
			if woken != wakes {
				t.Errorf("the end of the watch woke the Keeper: %v, want %v", woken, wakes)
			}
			if n := k.inbox.Take(); n.load != load || n.deaf.ends != ends || n.deaf.err == nil || n.deaf.err.Error() != text {
				t.Errorf("news: load %v, %d ends with %v, want load %v, %d ends with %s", n.load, n.deaf.ends, n.deaf.err, load, ends, text)
			}
		}
		expect(true, true, 1, "no room")
		time.Sleep(2*restWatch + restWatch/2)
		expect(false, false, 2, "no room")
		time.Sleep(restWatch)
		expect(true, true, 1, "no socket")
	})
}

// TestWatchEndReported has the watch end once. A report says so once.
func TestWatchEndReported(t *testing.T) {
	h := newHost(t)
	ended := make(chan struct{}, 1)
	k := startWith(t, h.ns, Options{Resync: time.Hour}, func(k *Keeper) {
		k.events = func(ctx context.Context, ns *netns.NS, matters func() *kernel.Interest, noted func([]kernel.Event), lost func()) error {
			select {
			case ended <- struct{}{}:
				return errors.New("watch network: no room")
			default:
				return kernel.Watch(ctx, ns, matters, noted, lost)
			}
		}
	})
	k.sync(t, node(1), nodes(2, 4)...)
	k.quiet(t)
	k.mu.Lock()
	defer k.mu.Unlock()
	var said []overlay.Report
	for _, r := range k.reports {
		if r.WatchEnds > 0 {
			said = append(said, r)
		}
	}
	if len(said) != 1 || said[0].WatchEnds != 1 || said[0].WatchErr == nil {
		t.Errorf("%d of %d reports have an end of the watch, want one with 1 end: %+v", len(said), len(k.reports), said)
	}
}
