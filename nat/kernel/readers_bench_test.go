// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"fairlead/internal/nstest"
	"fairlead/nat/kernel"
	"fairlead/nat/ruleset"
)

// BenchmarkCommitBesideReader commits small batches while another goroutine reads one time after the
// other: by a socket that is opened for it and closed, and by one that stays open.
func BenchmarkCommitBesideReader(b *testing.B) {
	for _, kept := range []bool{false, true} {
		b.Run(fmt.Sprintf("kept=%v", kept), func(b *testing.B) {
			ns := nstest.New(b)
			table := open(b, ns)
			commit := func(ops ...ruleset.Op) {
				if err := table.Commit(b.Context(), ops); err != nil {
					b.Fatal(err)
				}
			}
			commit(ruleset.Op{Verb: ruleset.AddTable}, ruleset.Op{Verb: ruleset.AddSet, Set: ourSet()})
			read := func() {
				if kept {
					_, _ = table.BackendCounters(b.Context())
				} else {
					_, _ = kernel.ForgedPackets(ns)
				}
			}
			stop, done := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(done)
				for {
					select {
					case <-stop:
						return
					default:
						read()
					}
				}
			}()
			var took []time.Duration
			for i := 0; b.Loop(); i++ {
				e := element(ourSet(), uint32(i/2), "")
				verb := []ruleset.Verb{ruleset.AddElement, ruleset.DeleteElement}[i%2]
				start := time.Now()
				commit(ruleset.Op{Verb: verb, Element: e})
				took = append(took, time.Since(start))
				time.Sleep(time.Millisecond)
			}
			close(stop)
			<-done
			slices.Sort(took)
			for _, percent := range []int{50, 90, 99} {
				b.ReportMetric(float64(took[len(took)*percent/100].Microseconds()), fmt.Sprintf("p%d-µs", percent))
			}
		})
	}
}
