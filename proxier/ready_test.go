// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"context"
	"fmt"
	"slices"
	"testing"

	kmetrics "k8s.io/component-base/metrics"

	"fairlead/nat/ruleset"
	"fairlead/proxier/metrics"
	"fairlead/proxier/store"
)

// early is a table that counts batches which come after the agent said that it is ready. Which
// ports of a ClusterIP are refused may follow: it changes nothing for who dials a Service.
type early struct {
	*countedTable
	ready          func() bool
	batches, early int
}

func (e *early) Commit(ctx context.Context, b ruleset.Batch) error {
	e.batches++
	if e.ready() && slices.ContainsFunc(b, func(o ruleset.Op) bool { return o.Element.Set.Kind != ruleset.ClusterIPs }) {
		e.early++
	}
	return e.countedTable.Commit(ctx, b)
}

// TestReadyAfterAll: the agent is ready when the kernel has all that there was at the start,
// whether that is many Services, few large ones, or both.
func TestReadyAfterAll(t *testing.T) {
	for _, tt := range []struct{ small, large, endpoints int }{{1000, 0, 0}, {0, 1, 5000}, {0, 10, 1000}, {500, 3, 2000}} {
		t.Run(fmt.Sprintf("%d small, %d of %d endpoints", tt.small, tt.large, tt.endpoints), func(t *testing.T) {
			c := newCounted(t)
			table := &early{countedTable: c.table, ready: func() bool { return false }}
			p := New(c.cfg, c.store, Deps{Table: table, Metrics: metrics.NewMetrics(func(...kmetrics.Registerable) {})})
			table.ready = p.Ready
			c.store.Update(func(tx *store.Tx) {
				for n := range tt.small + tt.large {
					endpoints := tt.endpoints
					if n < tt.small {
						endpoints = 10
					}
					svc, slice := benchObjects(n, endpoints)
					tx.SetService(svc)
					tx.SetSlice(slice)
				}
			})
			if err := p.sync(c.quiet); err != nil {
				t.Fatal(err)
			}
			if table.batches < 5 || table.early > 0 {
				t.Errorf("%d of %d batches came when the agent was ready", table.early, table.batches)
			}
			if !p.Ready() {
				t.Error("the agent is not ready")
			}
		})
	}
}
