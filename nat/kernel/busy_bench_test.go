// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel_test

import (
	"testing"
	"time"

	"fairlead/internal/nl/nltest"
	"fairlead/internal/nstest"
	"fairlead/nat/kernel"
)

// BenchmarkLoadBusy reads a table of 10,000 Services with 10 endpoints each: beside nothing, beside a
// program that changes another table, and beside one that adds and deletes elements of the table. It
// reports how much the kernel sends for one reading.
func BenchmarkLoadBusy(b *testing.B) {
	for _, bb := range []struct {
		name     string
		commands []string
	}{
		{"quiet", nil},
		{"another table", []string{"add table ip other", "delete table ip other"}},
		{"elements", churn("add", "delete", 200)},
	} {
		b.Run(bb.name, func(b *testing.B) {
			ns := nstest.New(b)
			var calls nltest.Counter
			table, err := kernel.OpenWith(ns, &calls)
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = table.Close() }()
			settle(b, fillState(10_000, busyBackends), table)
			if bb.commands != nil {
				meddle(b, ns, bb.commands...)
				for begin := table.Generation(b); table.Generation(b)-begin < 50; {
					time.Sleep(time.Millisecond)
				}
			}
			var received int
			var most time.Duration
			for b.Loop() {
				before, start := calls.Traffic(), time.Now()
				if _, err := table.Load(b.Context()); err != nil {
					b.Fatal(err)
				}
				received += calls.Traffic().Minus(before).Received
				most = max(most, time.Since(start))
			}
			b.ReportMetric(float64(received)/float64(b.N)/1e6, "MB/op")
			b.ReportMetric(most.Seconds()*1e3, "most-ms")
		})
	}
}
