// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"k8s.io/component-base/metrics"

	"fairlead/overlay"
)

// overlayMetrics are the series about the overlay.
type overlayMetrics struct {
	written, repaired, failures, watchEnds *metrics.Counter
	ready, mtu, peers                      *metrics.Gauge
}

func newOverlayMetrics(register func(...metrics.Registerable)) *overlayMetrics {
	counter := func(name, help string) *metrics.Counter {
		return metrics.NewCounter(&metrics.CounterOpts{Subsystem: "fairlead", Name: name, Help: help, StabilityLevel: metrics.ALPHA})
	}
	gauge := func(name, help string) *metrics.Gauge {
		return metrics.NewGauge(&metrics.GaugeOpts{Subsystem: "fairlead", Name: name, Help: help, StabilityLevel: metrics.ALPHA})
	}
	m := &overlayMetrics{
		written:   counter("overlay_written_total", "Devices and entries of the overlay that were added, changed or removed."),
		repaired:  counter("overlay_repairs_total", "Devices and entries of the overlay that were restored after another program changed them."),
		failures:  counter("overlay_failures_total", "Passes over the overlay that had to be repeated."),
		watchEnds: counter("overlay_watch_failures_total", "Times that the watch of the kernel's routes, neighbours and devices ended and began again."),
		ready:     gauge("overlay_ready", "1 once packets to pods on all other nodes found their way."),
		mtu:       gauge("overlay_mtu_bytes", "MTU of pods."),
		peers:     gauge("overlay_node_addresses", "Addresses that tunnels may come from: those of all nodes."),
	}
	register(m.written, m.repaired, m.failures, m.watchEnds, m.ready, m.mtu, m.peers)
	return m
}

// Overlay publishes a report of the overlay.
func (m *Metrics) Overlay(r *overlay.Report) {
	o := m.overlay
	o.written.Add(float64(r.Written))
	o.repaired.Add(float64(r.Repaired))
	if r.Err != nil {
		o.failures.Inc()
	}
	o.watchEnds.Add(float64(r.WatchEnds))
	if r.Ready {
		o.ready.Set(1)
	}
	o.mtu.Set(float64(r.MTU))
	o.peers.Set(float64(r.Tunnel.Nodes))
}
