// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package metrics

import "fairlead/nat"

// Remembered publishes how many clients each affinity map remembers.
func (m *Metrics) Remembered(maps []nat.AffinityMap) {
	samples := make([]sample, len(maps))
	for i, a := range maps {
		samples[i] = sample{a.Clients, []string{a.Name}}
	}
	m.affinity.set(samples)
}
