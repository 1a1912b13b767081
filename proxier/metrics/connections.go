// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"context"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/blang/semver/v4"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/component-base/metrics"

	"fairlead/internal/inet"
	"fairlead/nat"
)

// Counters reads the kernel's counters of backends; see kernel.Table for the
// contract. Several goroutines may call it at any time.
type Counters interface {
	BackendCounters(ctx context.Context) ([]nat.BackendCounter, error)
}

// counterPatience bounds how long a scrape waits for the kernel.
const counterPatience = 10 * time.Second

// connectionMetrics is the series of connections by endpoint, read from the
// kernel at each scrape. A counter in the kernel begins at 0 when the backend
// gets another slot, and goes with its frontend, while a series must not fall. So
// connectionMetrics sums the increases between two scrapes. It is a
// metrics.Registerable.
type connectionMetrics struct {
	ctx  context.Context // ends the reading of a scrape that comes too late
	from Counters
	desc *prometheus.Desc

	mu    sync.Mutex
	last  map[counterKey]count
	total map[endpointKey]uint64
}

// counterKey names a counter in the kernel.
type counterKey struct {
	frontend inet.Addr
	backend  netip.AddrPort
	local    bool
	endpoint endpointKey // another Service may get the same address
}

// count holds the last value read of a counter. A counter that a reading misses is
// kept for one more reading, because the reading may have overlooked it (see
// kernel.Table.BackendCounters). A counter found again would otherwise count twice.
type count struct {
	n      uint64
	missed bool
}

// endpointKey names a series: a Service port, whatever its frontends, and an
// endpoint.
type endpointKey struct {
	namespace, name, port string
	endpoint              netip.AddrPort
}

const connectionsName = "fairlead_backend_connections_total"

func newConnectionMetrics(ctx context.Context, from Counters) *connectionMetrics {
	return &connectionMetrics{
		ctx: ctx, from: from,
		desc: prometheus.NewDesc(connectionsName, "[ALPHA] Connections that were sent to an endpoint of a Service.",
			[]string{"namespace", "name", "port", "endpoint"}, nil),
	}
}

// CountConnections registers the series of connections by endpoint. Scrapes that
// come after ctx has ended get nothing.
func CountConnections(ctx context.Context, register func(...metrics.Registerable), from Counters) {
	register(newConnectionMetrics(ctx, from))
}

// endpointOf reads the comment of an element; see resolve.Resolve. The comment of
// another program's element may be anything.
func endpointOf(c *nat.BackendCounter) endpointKey {
	namespace, rest, _ := strings.Cut(strings.ToValidUTF8(c.Owner, "?"), "/")
	name, port, _ := strings.Cut(rest, ":")
	return endpointKey{namespace: namespace, name: name, port: port, endpoint: c.Backend}
}

// add takes over the present values of the kernel's counters. A series ends at the
// second scrape without a counter for it.
func (m *connectionMetrics) add(now []nat.BackendCounter) {
	last, total := make(map[counterKey]count, len(now)), make(map[endpointKey]uint64, len(now))
	for i := range now {
		c := &now[i]
		e := endpointOf(c)
		key := counterKey{frontend: c.Frontend, backend: c.Backend, local: c.Local, endpoint: e}
		if _, counted := total[e]; !counted {
			total[e] = m.total[e]
		}
		more := c.Connections
		if before := m.last[key].n; more >= before {
			more -= before
		}
		total[e] += more
		last[key] = count{n: c.Connections}
	}
	for key, c := range m.last {
		if _, seen := last[key]; seen || c.missed {
			continue
		}
		last[key] = count{c.n, true}
		if _, counted := total[key.endpoint]; !counted {
			total[key.endpoint] = m.total[key.endpoint]
		}
	}
	m.last, m.total = last, total
}

// Describe is for the registry.
func (m *connectionMetrics) Describe(ch chan<- *prometheus.Desc) { ch <- m.desc }

// Collect is for the registry. Counters that cannot be read keep their last values.
func (m *connectionMetrics) Collect(ch chan<- prometheus.Metric) {
	m.mu.Lock()
	defer m.mu.Unlock()
	ctx, cancel := context.WithTimeout(m.ctx, counterPatience)
	defer cancel()
	now, err := m.from.BackendCounters(ctx)
	if m.ctx.Err() != nil {
		return
	}
	if err == nil {
		m.add(now)
	}
	for e, n := range m.total {
		ch <- prometheus.MustNewConstMetric(m.desc, prometheus.CounterValue, float64(n),
			e.namespace, e.name, e.port, e.endpoint.String())
	}
}

// Create says that the series is not hidden in any version.
func (m *connectionMetrics) Create(*semver.Version) bool { return true }

// ClearState has nothing to do.
func (m *connectionMetrics) ClearState() {}

// FQName returns the name of the series.
func (m *connectionMetrics) FQName() string { return connectionsName }
