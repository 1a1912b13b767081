// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"math"
	"testing"

	"k8s.io/component-base/metrics"
)

// TestForged follows a counter of the kernel that begins again when its rule is written
// again.
func TestForged(t *testing.T) {
	registry := metrics.NewKubeRegistry()
	m := NewMetrics(registry.MustRegister)
	total := uint64(0)
	for i, step := range []struct{ now, want uint64 }{
		{500, 0}, // of an earlier agent
		{500, 0}, {507, 7}, {3, 3}, {3, 0}, {0, 0}, {1, 1}, {math.MaxUint32 + 2, math.MaxUint32 + 1},
	} {
		total += step.want
		if got := m.Forged(step.now); got != step.want {
			t.Errorf("step %d: %d new packets, want %d", i, got, step.want)
		}
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "fairlead_source_check_dropped_packets_total" {
			if got := f.GetMetric()[0].GetCounter().GetValue(); got != float64(total) {
				t.Errorf("the series is %v, want %d", got, total)
			}
			return
		}
	}
	t.Error("there is no series")
}
