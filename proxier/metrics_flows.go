// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"k8s.io/component-base/metrics"

	"fairlead/conntrack"
)

// registerFlows makes the series about stale flows.
func (m *Metrics) registerFlows(register func(...metrics.Registerable)) {
	m.flowsScanned = metrics.NewCounter(&metrics.CounterOpts{
		Subsystem: "fairlead", Name: "conntrack_scanned_flows_total",
		Help: "UDP flows that the kernel reported to the search for stale ones.", StabilityLevel: metrics.ALPHA,
	})
	m.flowsDeleted = metrics.NewCounter(&metrics.CounterOpts{
		Subsystem: "kubeproxy", Name: "conntrack_reconciler_deleted_entries_total",
		Help: "Stale UDP flows that were deleted.", StabilityLevel: metrics.ALPHA,
	})
	m.sweepErrors = metrics.NewCounter(&metrics.CounterOpts{
		Subsystem: "fairlead", Name: "conntrack_sweep_failures_total",
		Help: "Searches for stale flows that had to be repeated.", StabilityLevel: metrics.ALPHA,
	})
	m.forgotten = metrics.NewCounter(&metrics.CounterOpts{
		Subsystem: "fairlead", Name: "affinity_forgotten_clients_total",
		Help: "Sticky clients that were forgotten because their endpoint is gone.", StabilityLevel: metrics.ALPHA,
	})
	register(m.flowsScanned, m.flowsDeleted, m.sweepErrors, m.forgotten)
}

// Swept counts what a search for stale flows did.
func (m *Metrics) Swept(s conntrack.Sweep) {
	m.flowsScanned.Add(float64(s.Scanned))
	m.flowsDeleted.Add(float64(s.Deleted))
	if s.Err != nil {
		m.sweepErrors.Inc()
	}
}

// Forgot counts sticky clients that were forgotten.
func (m *Metrics) Forgot(clients int) { m.forgotten.Add(float64(clients)) }
