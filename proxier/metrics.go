// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"time"

	"k8s.io/component-base/metrics"

	"fairlead/nat"
)

// Metrics are the time series of a Proxier. Those called kubeproxy_ mean what
// kube-proxy's of the same name mean. Durations are in seconds. Safe for
// concurrent use.
type Metrics struct {
	sync     *metrics.Histogram
	lastSync *metrics.Gauge
	failures *metrics.Counter
	ops      *metrics.CounterVec
	commits  *metrics.Counter
	loads    *metrics.Counter
	refusals *metrics.Counter
	problems *metrics.GaugeVec
}

// NewMetrics makes the series and registers them, for example with
// legacyregistry.MustRegister.
func NewMetrics(register func(...metrics.Registerable)) *Metrics {
	m := &Metrics{
		sync: metrics.NewHistogram(&metrics.HistogramOpts{
			Subsystem: "kubeproxy", Name: "sync_proxy_rules_duration_seconds",
			Help:           "Time from waking up to the kernel's acknowledgement.",
			Buckets:        metrics.ExponentialBuckets(0.0001, 2, 18), // 0.1 ms to 13 s
			StabilityLevel: metrics.ALPHA,
		}),
		lastSync: metrics.NewGauge(&metrics.GaugeOpts{
			Subsystem: "kubeproxy", Name: "sync_proxy_rules_last_timestamp_seconds",
			Help: "Unix time of the last sync that left nothing pending.", StabilityLevel: metrics.ALPHA,
		}),
		failures: metrics.NewCounter(&metrics.CounterOpts{
			Subsystem: "kubeproxy", Name: "sync_proxy_rules_nftables_sync_failures_total",
			Help: "Syncs that failed.", StabilityLevel: metrics.ALPHA,
		}),
		ops: metrics.NewCounterVec(&metrics.CounterOpts{
			Subsystem: "fairlead", Name: "nat_operations_total",
			Help: "Operations that the kernel committed, by verb.", StabilityLevel: metrics.ALPHA,
		}, []string{"verb"}),
		commits: metrics.NewCounter(&metrics.CounterOpts{
			Subsystem: "fairlead", Name: "nat_commits_total",
			Help: "Batches that the kernel committed.", StabilityLevel: metrics.ALPHA,
		}),
		loads: metrics.NewCounter(&metrics.CounterOpts{
			Subsystem: "fairlead", Name: "nat_loads_total",
			Help: "Times the table was read back: at start, and when somebody else had changed it.", StabilityLevel: metrics.ALPHA,
		}),
		refusals: metrics.NewCounter(&metrics.CounterOpts{
			Subsystem: "fairlead", Name: "nat_refusals_total",
			Help: "Frontends that the kernel refused.", StabilityLevel: metrics.ALPHA,
		}),
		problems: metrics.NewGaugeVec(&metrics.GaugeOpts{
			Subsystem: "fairlead", Name: "problems",
			Help: "What is wrong with objects at present, by their kind.", StabilityLevel: metrics.ALPHA,
		}, []string{"kind"}),
	}
	register(m.sync, m.lastSync, m.failures, m.ops, m.commits, m.loads, m.refusals, m.problems)
	return m
}

func (m *Metrics) synced(start time.Time, err error) {
	m.sync.Observe(time.Since(start).Seconds())
	if err != nil {
		m.failures.Inc()
		return
	}
	m.lastSync.SetToCurrentTime()
}

func (m *Metrics) committed(b *nat.Batch) {
	adds, deletes := b.Counts()
	m.commits.Inc()
	m.ops.WithLabelValues("add").Add(float64(adds))
	m.ops.WithLabelValues("delete").Add(float64(deletes))
}

func (m *Metrics) report(now map[Problem]struct{}) {
	m.problems.Reset()
	for p := range now {
		m.problems.WithLabelValues(p.Kind).Inc()
	}
}
