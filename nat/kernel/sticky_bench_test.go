// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel_test

import (
	"testing"
	"time"

	"fairlead/internal/inet"
	"fairlead/internal/nstest"
	"fairlead/nat/nattest"
	"fairlead/nat/plan"
	"fairlead/nat/ruleset"
)

// BenchmarkNewSticky changes a sticky Service to a size and a timeout that no other Service has,
// while the map of all Services' clients is full. least-ms is the shortest time that this took,
// because others change the same machine's caches and take its processors.
func BenchmarkNewSticky(b *testing.B) {
	table := open(b, nstest.New(b))
	s := plan.NewState()
	s.Configure(nattest.Settings())
	other, f := clusterService(0, 10)
	f.Affinity = time.Hour
	s.Set(other, f)
	settle(b, s, table)
	common := ruleset.Set{Kind: ruleset.Affinity, Family: inet.IPv4}
	err := table.AddEntries(b.Context(), common, common.Declaration().Size, func(i uint32) ruleset.Element { return element(common, i, "") })
	if err != nil {
		b.Fatal(err)
	}
	least := time.Hour
	for i := 0; b.Loop(); i++ {
		key, f := clusterService(1, 20+80*(i%2)) // of two sizes
		f.Affinity = time.Duration(10+i) * time.Second
		start := time.Now()
		s.Set(key, f)
		settle(b, s, table)
		least = min(least, time.Since(start))
		s.Delete(key)
		settle(b, s, table) // with its chains
	}
	b.ReportMetric(least.Seconds()*1e3, "least-ms")
}
