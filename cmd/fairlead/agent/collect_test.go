// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"time"
)

// TestCollector: a collector that takes much time raises the target, and a time with little
// lowers it.
func TestCollector(t *testing.T) {
	c := collector{percent: restPercent}
	for i, tt := range []struct {
		spent time.Duration // since the last look
		want  int
	}{
		{0, restPercent}, {mostCollecting, restPercent}, {0, restPercent},
		{mostCollecting + 1, busyPercent}, {mostCollecting / 4, busyPercent}, {0, busyPercent}, {0, busyPercent},
		{leastCollecting, busyPercent}, {0, busyPercent}, {leastCollecting - 1, busyPercent}, {0, restPercent},
		{mostCollecting, restPercent}, {time.Minute, busyPercent},
	} {
		was := c.percent
		if changed := c.look(c.spent + tt.spent); c.percent != tt.want || changed != (was != tt.want) {
			t.Fatalf("look %d: the target is %d, changed: %v, want %d", i, c.percent, changed, tt.want)
		}
	}
	before := collecting()
	runtime.GC()
	if got := collecting(); got <= before {
		t.Errorf("collections took %s after one more than %s", got, before)
	}
}

// TestSaveMemoryWith checks that the agent chooses the target of collections, and that it leaves the
// one that GOGC sets, whatever that is.
func TestSaveMemoryWith(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(77))
	for _, gogc := range []string{"off", "50", "77", ""} {
		t.Run("GOGC="+gogc, func(t *testing.T) {
			t.Setenv("GOGC", gogc)
			debug.SetGCPercent(77)
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			want := uint64(77)
			if gogc == "" {
				want = restPercent
			}
			ready := make(chan error, 1)
			go func() { ready <- saveMemory(ctx, func() bool { return true }) }()
			if gogc == "" { // it goes on
				for target() != want && ctx.Err() == nil {
					<-time.After(time.Millisecond)
				}
				cancel()
			}
			if err := <-ready; err != nil {
				t.Error(err)
			}
			if got := target(); got != want {
				t.Errorf("the target is %d %%, want %d %%", got, want)
			}
		})
	}
}

// target returns the target of the garbage collector, in percent.
func target() uint64 {
	sample := []metrics.Sample{{Name: "/gc/gogc:percent"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
