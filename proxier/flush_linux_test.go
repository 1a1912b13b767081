// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	kmetrics "k8s.io/component-base/metrics"

	"fairlead/internal/nstest"
	"fairlead/nat"
	"fairlead/nat/kernel"
	"fairlead/nat/nattest"
	"fairlead/nat/ruleset"
	"fairlead/proxier/metrics"
)

// flushed notes when the verdicts of frontends are in the kernel.
type flushed struct {
	*recorder
	left  atomic.Int64 // verdicts that are missing
	first chan time.Time
	all   chan time.Time
}

func (f *flushed) Commit(ctx context.Context, b ruleset.Batch) error {
	err := f.recorder.Commit(ctx, b)
	if err != nil {
		return err
	}
	done := int64(0)
	for i := range b {
		if e := &b[i].Element; b[i].Verb == ruleset.AddElement && e.Set.Kind == ruleset.VIPs {
			if done++; e.Key == servicesKey(0) {
				f.first <- time.Now()
			}
		}
	}
	if done > 0 && f.left.Add(-done) == 0 {
		f.all <- time.Now()
	}
	return nil
}

// BenchmarkFlushed deletes the table under a running agent, whose Services have 10 endpoints
// each. It reports the time from then until the frontend that others depend on is served, and
// until all are. That includes the time in which the kernel deletes, and tells the agent.
func BenchmarkFlushed(b *testing.B) {
	nstest.Need(b)
	for _, services := range []int{1000, 10000} {
		b.Run(fmt.Sprintf("services=%d", services), func(b *testing.B) {
			w, err := newWorld()
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(w.close)
			table := &flushed{recorder: w.table, first: make(chan time.Time, 1), all: make(chan time.Time, 1)}
			w.p = New(w.cfg, w.store, Deps{Table: table, Metrics: metrics.NewMetrics(func(...kmetrics.Registerable) {})})
			w.table.quiet = true
			for i := range services {
				w.p.desired.state.Set(servicesKey(i), nat.Frontend{
					Policy: nat.Internal, Exclusive: true, First: i == 0, Owner: fmt.Sprintf("default/s%d", i), Backends: nattest.Pods(10),
				})
			}
			other, err := kernel.Open(w.ns)
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { _ = other.Close() })
			table.left.Store(int64(services))
			w.run(b)
			var first, all time.Duration
			for range b.N {
				err = errors.Join(err, table.await())
				time.Sleep(peace + time.Second) // or it is a fight
				table.left.Store(int64(services))
				start := time.Now()
				err = errors.Join(err, other.Delete(b.Context()))
				first += (<-table.first).Sub(start)
				at := <-table.all
				all += at.Sub(start)
				table.first <- start
				table.all <- at
			}
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(first.Milliseconds())/float64(b.N), "first-ms/op")
			b.ReportMetric(float64(all.Milliseconds())/float64(b.N), "all-ms/op")
		})
	}
}

// await waits until all frontends are served.
func (f *flushed) await() error {
	const patience = time.Minute
	deadline := time.After(patience)
	for _, c := range []chan time.Time{f.first, f.all} {
		select {
		case <-c:
		case <-deadline:
			return errors.New("the frontends are not served within a minute")
		}
	}
	return nil
}
