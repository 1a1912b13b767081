// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"k8s.io/component-base/metrics"

	"fairlead/conntrack"
)

// registerFlows makes the series about stale flows.
func (m *Metrics) registerFlows(register func(...metrics.Registerable)) {
	m.flowsScanned = metrics.NewCounter(&metrics.CounterOpts{
		Subsystem: "fairlead", Name: "conntrack_scanned_flows_total",
		Help: "Number of flows that the kernel listed in searches for stale flows.", StabilityLevel: metrics.ALPHA,
	})
	m.flowsDeleted = metrics.NewCounter(&metrics.CounterOpts{
		Subsystem: "kubeproxy", Name: "conntrack_reconciler_deleted_entries_total",
		Help: "Number of deleted stale flows.", StabilityLevel: metrics.ALPHA,
	})
	m.sweepErrors = metrics.NewCounter(&metrics.CounterOpts{
		Subsystem: "fairlead", Name: "conntrack_sweep_failures_total",
		Help: "Number of failed searches for stale flows; the agent repeats them.", StabilityLevel: metrics.ALPHA,
	})
	m.forgotten = metrics.NewCounter(&metrics.CounterOpts{
		Subsystem: "fairlead", Name: "affinity_forgotten_clients_total",
		Help: "Number of deleted session affinity entries of removed endpoints.", StabilityLevel: metrics.ALPHA,
	})
	m.flows = metrics.NewGauge(&metrics.GaugeOpts{
		Subsystem: "fairlead", Name: "conntrack_entries",
		Help: "Number of entries in the connection tracking table.", StabilityLevel: metrics.ALPHA,
	})
	m.flowLimit = metrics.NewGauge(&metrics.GaugeOpts{
		Subsystem: "fairlead", Name: "conntrack_entries_limit",
		Help: "Size of the connection tracking table (net.netfilter.nf_conntrack_max).", StabilityLevel: metrics.ALPHA,
	})
	m.flowsDropped = &dropped{Counter: metrics.NewCounter(&metrics.CounterOpts{
		Subsystem: "fairlead", Name: "conntrack_dropped_packets_total",
		Help: "Number of packets that the kernel dropped because the connection tracking table had no room.", StabilityLevel: metrics.ALPHA,
	})}
	register(m.flows, m.flowLimit, m.flowsDropped, m.flowsScanned, m.flowsDeleted, m.sweepErrors, m.forgotten)
}

// dropped counts what a counter of the kernel, which may wrap around, gains.
type dropped struct {
	*metrics.Counter
	last uint32
	seen bool
}

func (d *dropped) set(now uint32) {
	if d.seen {
		d.Add(float64(now - d.last))
	}
	d.last, d.seen = now, true
}

// Filled sets how full the connection tracking table is. It must not be called
// concurrently.
func (m *Metrics) Filled(f conntrack.Fill) {
	m.flows.Set(float64(f.Entries))
	m.flowLimit.Set(float64(f.Limit))
	m.flowsDropped.set(f.Dropped)
}

// Swept counts the outcome of a search for stale flows.
func (m *Metrics) Swept(s conntrack.Sweep) {
	m.flowsScanned.Add(float64(s.Scanned))
	m.flowsDeleted.Add(float64(s.Deleted))
	if s.Err != nil {
		m.sweepErrors.Inc()
	}
}

// Forgot counts the affinity entries that were deleted.
func (m *Metrics) Forgot(clients int) { m.forgotten.Add(float64(clients)) }
