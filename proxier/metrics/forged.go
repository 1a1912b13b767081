// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package metrics

import "k8s.io/component-base/metrics"

// registerForged makes the series about the source check.
func (m *Metrics) registerForged(register func(...metrics.Registerable)) {
	m.forged = metrics.NewCounter(&metrics.CounterOpts{
		Subsystem: "fairlead", Name: "source_check_dropped_packets_total",
		Help: "Number of packets of pods that were dropped because their source address is not the pod's own.", StabilityLevel: metrics.ALPHA,
	})
	register(m.forged)
}

// Forged counts the packets that the source check has dropped, of which the kernel counts
// now, and returns how many are new. The kernel begins at 0 when the rules are written
// again. Forged must not be called concurrently.
func (m *Metrics) Forged(now uint64) uint64 {
	gained := now
	switch {
	case !m.sawForged:
		gained = 0 // before this process
	case now >= m.lastForged:
		gained = now - m.lastForged
	}
	m.lastForged, m.sawForged = now, true
	m.forged.Add(float64(gained))
	return gained
}
