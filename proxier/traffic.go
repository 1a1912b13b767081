// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"context"

	"fairlead/internal/inet"
	"fairlead/nat"
	"fairlead/proxier/metrics"
)

// Counters returns from with one addition: what each reading finds decides which Services
// are repaired first when the table is lost. It may be read by several goroutines.
func (p *Proxier) Counters(from metrics.Counters) metrics.Counters { return &trafficCounters{from, p} }

type trafficCounters struct {
	metrics.Counters
	p *Proxier
}

// BackendCounters is the method of the table.
func (c *trafficCounters) BackendCounters(ctx context.Context) ([]nat.BackendCounter, error) {
	list, err := c.Counters.BackendCounters(ctx)
	if err == nil {
		traffic := map[inet.Addr]uint64{}
		for i := range list {
			traffic[list[i].Frontend] += list[i].Connections
		}
		c.p.traffic.Store(&traffic)
	}
	return list, err
}
