// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"strconv"
	"sync/atomic"

	"github.com/blang/semver/v4"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/component-base/metrics"

	"fairlead/proxier/store"
)

// changeMetrics are the series about changes on their way to the kernel. Each scrape
// reads them from the store, so that they stay true while the loop hangs.
type changeMetrics struct{ store atomic.Pointer[store.Store] }

func newChangeMetrics(register func(...metrics.Registerable)) *changeMetrics {
	m := &changeMetrics{}
	of := func(name, help string, typ prometheus.ValueType, read func(total, done store.Changes) float64) *reading {
		return &reading{"kubeproxy_sync_proxy_rules_" + name, help, typ, func() float64 {
			if s := m.store.Load(); s != nil {
				return read(s.ChangeCounts())
			}
			return 0
		}}
	}
	register(
		of("endpoint_changes_total", "Changes of EndpointSlices.", prometheus.CounterValue,
			func(total, _ store.Changes) float64 { return float64(total.Slices) }),
		of("endpoint_changes_pending", "Changes of EndpointSlices that the kernel does not have yet.", prometheus.GaugeValue,
			func(total, done store.Changes) float64 { return float64(total.Slices - done.Slices) }),
		of("service_changes_total", "Changes of Services.", prometheus.CounterValue,
			func(total, _ store.Changes) float64 { return float64(total.Services) }),
		of("service_changes_pending", "Changes of Services that the kernel does not have yet.", prometheus.GaugeValue,
			func(total, done store.Changes) float64 { return float64(total.Services - done.Services) }),
		of("last_queued_timestamp_seconds", "Unix time of the last change that asked for a sync.", prometheus.GaugeValue,
			func(total, _ store.Changes) float64 {
				if total.Last.IsZero() {
					return 0
				}
				return float64(total.Last.UnixNano()) / 1e9
			}),
	)
	return m
}

// Follow reads the series about changes from a store.
func (m *Metrics) Follow(s *store.Store) { m.changes.store.Store(s) }

// reading is a series that each scrape reads anew. It is a
// metrics.Registerable.
type reading struct {
	name, help string
	typ        prometheus.ValueType
	read       func() float64
}

func (r *reading) desc() *prometheus.Desc {
	return prometheus.NewDesc(r.name, "[ALPHA] "+r.help, nil, nil)
}

// Describe is for the registry.
func (r *reading) Describe(ch chan<- *prometheus.Desc) { ch <- r.desc() }

// Collect is for the registry.
func (r *reading) Collect(ch chan<- prometheus.Metric) {
	ch <- prometheus.MustNewConstMetric(r.desc(), r.typ, r.read())
}

// Create says that the series is not hidden in any version.
func (r *reading) Create(*semver.Version) bool { return true }

// ClearState has nothing to do.
func (r *reading) ClearState() {}

// FQName returns the name of the series.
func (r *reading) FQName() string { return r.name }

// registerHealth makes the series about answers to health checks.
func (m *Metrics) registerHealth(register func(...metrics.Registerable)) {
	m.healthz = metrics.NewCounterVec(&metrics.CounterOpts{
		Subsystem: "kubeproxy", Name: "proxy_healthz_total",
		Help: "Answers of /healthz, by HTTP status.", StabilityLevel: metrics.ALPHA,
	}, []string{"code"})
	m.livez = metrics.NewCounterVec(&metrics.CounterOpts{
		Subsystem: "kubeproxy", Name: "proxy_livez_total",
		Help: "Answers of /livez, by HTTP status.", StabilityLevel: metrics.ALPHA,
	}, []string{"code"})
	register(m.healthz, m.livez)
}

// Healthz counts an answer of /healthz.
func (m *Metrics) Healthz(code int) { m.healthz.WithLabelValues(strconv.Itoa(code)).Inc() }

// Livez counts an answer of /livez.
func (m *Metrics) Livez(code int) { m.livez.WithLabelValues(strconv.Itoa(code)).Inc() }
