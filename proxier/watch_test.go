// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	kmetrics "k8s.io/component-base/metrics"
	"k8s.io/klog/v2"
	"k8s.io/klog/v2/ktesting"

	"fairlead/nat"
	"fairlead/proxier/metrics"
	"fairlead/proxier/store"
)

// brokenWatch is a table whose watch ends with an error, after a time.
type brokenWatch struct {
	fakeTable
	watches atomic.Int64
	lasts   atomic.Int64 // a time.Duration
	err     atomic.Pointer[error]
}

func (b *brokenWatch) Watch(ctx context.Context, _ func(nat.Writer)) error {
	b.watches.Add(1)
	select {
	case <-ctx.Done():
		return nil
	case <-time.After(time.Duration(b.lasts.Load())):
		return *b.err.Load()
	}
}

// TestRunWatchEnds: a watch that ends at once begins again ever more seldom, up to each 5 s, and each
// time the table is read. The log names the error once until it changes. After a watch that has worked
// for a while the next one begins soon.
func TestRunWatchEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table, s := &brokenWatch{}, store.New()
		fail := func(text string) {
			err := errors.New(text)
			table.err.Store(&err)
		}
		fail("refused")
		logger := ktesting.NewLogger(ktesting.NopTL{}, ktesting.NewConfig(ktesting.BufferLogs(true)))
		buffer := logger.GetSink().(ktesting.Underlier).GetBuffer()
		ctx, stop := context.WithCancel(klog.NewContext(t.Context(), logger))
		p := New(testConfig(), s, Deps{Table: table, Metrics: metrics.NewMetrics(func(...kmetrics.Registerable) {})})
		done := make(chan error, 1)
		go func() { done <- p.Run(ctx) }()
		expect := func(after time.Duration, watches, lines int) {
			t.Helper()
			before := table.watches.Load()
			loads := table.loads.Load()
			time.Sleep(after)
			synctest.Wait()
			if got := int(table.watches.Load() - before); got != watches {
				t.Errorf("%d watches within %v, want %d", got, after, watches)
			}
			if got := int(table.loads.Load() - loads); got > watches || watches > 0 && got == 0 {
				t.Errorf("%d loads for %d watches", got, watches)
			}
			text := buffer.String() // it locks, which a BufferTL does not
			if got := strings.Count(text, "Watch of the table ended"); got != lines {
				t.Errorf("%d lines, want %d:\n%s", got, lines, text)
			}
		}
		synctest.Wait()
		// They begin after 100, 200, 400, 800, 1600 and 3200 ms, and 5 s, and 5 s each.
		expect(6300*time.Millisecond, 6, 1)
		expect(time.Minute, 12, 1)
		fail("lost")
		expect(time.Minute, 12, 2)
		table.lasts.Store(int64(time.Hour))
		expect(5*time.Second, 1, 2)
		expect(30*time.Minute, 0, 2)
		table.lasts.Store(0)
		expect(30*time.Minute+300*time.Millisecond, 2, 3)
		stop()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

// slowWatch is a table whose watch takes a while to end.
type slowWatch struct {
	fakeTable
	ended atomic.Bool
}

func (s *slowWatch) Watch(ctx context.Context, _ func(nat.Writer)) error {
	<-ctx.Done()
	time.Sleep(time.Second)
	s.ended.Store(true)
	return nil
}

// TestRunWaitsForWatch: the caller of Run closes the table, which Watch must not use then.
func TestRunWaitsForWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := &slowWatch{}
		ctx, stop := context.WithCancel(t.Context())
		p := New(testConfig(), store.New(), Deps{Table: table, Metrics: metrics.NewMetrics(func(...kmetrics.Registerable) {})})
		time.AfterFunc(time.Minute, stop)
		if err := p.Run(ctx); err != nil {
			t.Error(err)
		}
		if !table.ended.Load() {
			t.Error("Run has returned, and the watch goes on")
		}
	})
}
