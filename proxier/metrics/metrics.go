// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"time"

	"k8s.io/component-base/metrics"

	"fairlead/proxier/resolve"
)

// Metrics are the time series of a Proxier. Those called kubeproxy_ mean the same as
// kube-proxy's of that name. Durations are in seconds. Metrics are safe for concurrent
// use.
type Metrics struct {
	sync     *metrics.Histogram
	lastSync *metrics.Gauge
	failures *metrics.Counter
	ops      *metrics.CounterVec
	// added and deleted are those of ops, and internal and external those of noLocal: to look
	// one up costs more than to count.
	added, deleted     metrics.CounterMetric
	internal, external metrics.GaugeMetric

	commits  *metrics.Counter
	Loads    *metrics.Counter
	Refusals *metrics.Counter
	Repairs  *metrics.Counter
	drift    *metrics.CounterVec
	problems *tally
	affinity *tally

	programming *metrics.Histogram
	noLocal     *metrics.GaugeVec
	frontends   *metrics.Gauge
	backends    *metrics.Gauge
	fallbacks   *tally

	flows        *metrics.Gauge
	flowLimit    *metrics.Gauge
	flowsDropped *dropped
	flowsScanned *metrics.Counter
	flowsDeleted *metrics.Counter
	sweepErrors  *metrics.Counter
	forgotten    *metrics.Counter

	forged     *metrics.Counter
	lastForged uint64 // of the kernel
	sawForged  bool

	healthz *metrics.CounterVec
	livez   *metrics.CounterVec

	changes *changeMetrics
	overlay *overlayMetrics
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
		Loads: metrics.NewCounter(&metrics.CounterOpts{
			Subsystem: "fairlead", Name: "nat_loads_total",
			Help: "Number of times the table was read back: at start, and after another program changed it.", StabilityLevel: metrics.ALPHA,
		}),
		Refusals: metrics.NewCounter(&metrics.CounterOpts{
			Subsystem: "fairlead", Name: "nat_refusals_total",
			Help: "Frontends that the kernel refused.", StabilityLevel: metrics.ALPHA,
		}),
		affinity: newTally("fairlead_affinity_clients", "Clients that session affinity remembers, by map.", "map"),
		problems: newTally("fairlead_problems", "What is wrong with objects at present, by their kind.", "kind"),
		Repairs: metrics.NewCounter(&metrics.CounterOpts{
			Subsystem: "fairlead", Name: "nat_repairs_total",
			Help: "Number of times the table was repaired after another program changed it.", StabilityLevel: metrics.ALPHA,
		}),
		drift: metrics.NewCounterVec(&metrics.CounterOpts{
			Subsystem: "fairlead", Name: "drift_repairs_total",
			Help: "Number of objects of the table that were repaired after another program changed them, by kind.", StabilityLevel: metrics.ALPHA,
		}, []string{"kind"}),
	}
	register(m.sync, m.lastSync, m.failures, m.ops, m.commits, m.Loads, m.Refusals, m.problems, m.affinity, m.Repairs, m.drift)
	m.added, m.deleted = m.ops.WithLabelValues("add"), m.ops.WithLabelValues("delete")
	m.registerServices(register)
	m.registerFlows(register)
	m.registerForged(register)
	m.registerHealth(register)
	m.changes = newChangeMetrics(register)
	m.overlay = newOverlayMetrics(register)
	return m
}

// registerServices makes the series that are about Services rather than syncs.
func (m *Metrics) registerServices(register func(...metrics.Registerable)) {
	m.programming = metrics.NewHistogram(&metrics.HistogramOpts{
		Subsystem: "kubeproxy", Name: "network_programming_duration_seconds",
		Help:           "Time from a change of endpoints in the API to the kernel's acknowledgement (annotation endpoints.kubernetes.io/last-change-trigger-time).",
		Buckets:        metrics.ExponentialBuckets(0.001, 2, 19), // 1 ms to 4 min
		StabilityLevel: metrics.ALPHA,
	})
	m.noLocal = metrics.NewGaugeVec(&metrics.GaugeOpts{ //nolint:promlinter // the name is kube-proxy's
		Subsystem: "kubeproxy", Name: "sync_proxy_rules_no_local_endpoints_total",
		Help: "Services with a Local traffic policy that have endpoints, but none on this node.", StabilityLevel: metrics.ALPHA,
	}, []string{"traffic_policy"})
	m.frontends = metrics.NewGauge(&metrics.GaugeOpts{
		Subsystem: "fairlead", Name: "frontends",
		Help: "Addresses and ports that Services are reached at.", StabilityLevel: metrics.ALPHA,
	})
	m.backends = metrics.NewGauge(&metrics.GaugeOpts{
		Subsystem: "fairlead", Name: "backends",
		Help: "Endpoints behind frontends, counted for each frontend.", StabilityLevel: metrics.ALPHA,
	})
	m.fallbacks = newTally("fairlead_topology_fallbacks",
		"Services whose topology hints are not followed, by the level of the hints and the reason.", "level", "reason")
	register(m.programming, m.noLocal, m.frontends, m.backends, m.fallbacks)
	m.internal, m.external = m.noLocal.WithLabelValues("internal"), m.noLocal.WithLabelValues("external")
}

// Synced records a sync that began at start.
func (m *Metrics) Synced(start time.Time, err error) {
	m.sync.Observe(time.Since(start).Seconds())
	if err != nil {
		m.failures.Inc()
		return
	}
	m.lastSync.SetToCurrentTime()
}

// Committed counts a batch that the kernel accepted.
func (m *Metrics) Committed(adds, deletes int) {
	m.commits.Inc()
	m.added.Add(float64(adds))
	m.deleted.Add(float64(deletes))
}

// Repaired counts objects of a kind that were repaired.
func (m *Metrics) Repaired(kind string, objects int) {
	m.drift.WithLabelValues(kind).Add(float64(objects))
}

// Wanted counts the present demands of Services.
type Wanted struct {
	Frontends, Backends int
	// Internal and external count the Services with a Local traffic policy that have
	// endpoints, but none on this node.
	Internal, External int
	Fallbacks          map[resolve.FallbackReason]int // Services
}

// SetWanted replaces the counts of Wanted.
func (m *Metrics) SetWanted(w *Wanted) {
	m.frontends.Set(float64(w.Frontends))
	m.backends.Set(float64(w.Backends))
	m.internal.Set(float64(w.Internal))
	m.external.Set(float64(w.External))
	fallbacks := make([]sample, 0, len(w.Fallbacks))
	for why, n := range w.Fallbacks {
		fallbacks = append(fallbacks, sample{n, []string{why.Level, why.Reason}})
	}
	m.fallbacks.set(fallbacks)
}

// Programmed measures how long a change took to reach the kernel, from the time it
// was made by another machine's clock.
func (m *Metrics) Programmed(at time.Time) {
	m.programming.Observe(max(0, time.Since(at)).Seconds())
}

// Report replaces the number of problems by kind.
func (m *Metrics) Report(byKind map[string]int) {
	samples := make([]sample, 0, len(byKind))
	for kind, n := range byKind {
		samples = append(samples, sample{n, []string{kind}})
	}
	m.problems.set(samples)
}
