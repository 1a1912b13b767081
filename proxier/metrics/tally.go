// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"sync/atomic"

	"github.com/blang/semver/v4"
	"github.com/prometheus/client_golang/prometheus"
)

// tally is a gauge by labels whose values all change at once. A scrape sees either all
// old or all new values, unlike with a GaugeVec that is emptied and filled again. It
// is a metrics.Registerable.
type tally struct {
	name string
	desc *prometheus.Desc
	now  atomic.Pointer[[]sample]
}

// sample is one value of a tally.
type sample struct {
	n      int
	labels []string
}

func newTally(name, help string, labels ...string) *tally {
	return &tally{name: name, desc: prometheus.NewDesc(name, "[ALPHA] "+help, labels, nil)}
}

// set replaces all values; the slice belongs to the tally.
func (t *tally) set(now []sample) { t.now.Store(&now) }

// Describe is for the registry.
func (t *tally) Describe(ch chan<- *prometheus.Desc) { ch <- t.desc }

// Collect is for the registry.
func (t *tally) Collect(ch chan<- prometheus.Metric) {
	now := t.now.Load()
	if now == nil {
		return
	}
	for _, s := range *now {
		ch <- prometheus.MustNewConstMetric(t.desc, prometheus.GaugeValue, float64(s.n), s.labels...)
	}
}

// Create says that the series is not hidden in any version.
func (t *tally) Create(*semver.Version) bool { return true }

// ClearState has nothing to do.
func (t *tally) ClearState() {}

// FQName returns the name of the series.
func (t *tally) FQName() string { return t.name }
