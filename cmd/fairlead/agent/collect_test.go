// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"runtime"
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
