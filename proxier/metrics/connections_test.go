// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"context"
	"errors"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/component-base/metrics"

	"fairlead/internal/inet"
	"fairlead/nat"
	"fairlead/proxier/proxiertest"
)

// countersFunc is Counters as a function.
type countersFunc func() ([]nat.BackendCounter, error)

func (f countersFunc) BackendCounters(context.Context) ([]nat.BackendCounter, error) { return f() }

// TestConnectionMetrics: the series sums the counters of all frontends of a
// Service port, and never falls while the endpoint is served.
func TestConnectionMetrics(t *testing.T) {
	var now []nat.BackendCounter
	var failure error
	registry := metrics.NewKubeRegistry()
	ctx, cancel := context.WithCancel(t.Context())
	CountConnections(ctx, registry.MustRegister, countersFunc(func() ([]nat.BackendCounter, error) { return now, failure }))
	counter := func(owner, frontend, backend string, n uint64) nat.BackendCounter {
		at := netip.MustParseAddrPort(frontend)
		return nat.BackendCounter{Owner: owner, Frontend: inet.Addr{IP: at.Addr(), Port: at.Port(), Proto: inet.TCP},
			Backend: netip.MustParseAddrPort(backend), Connections: n}
	}
	local := func(c nat.BackendCounter) nat.BackendCounter { c.Local = true; return c }
	const web, a, b = "default/web:http", "10.244.0.1:80", "10.244.0.2:80"
	const vip, node = "10.96.0.1:80", "0.0.0.0:30080"
	for _, step := range []struct {
		name string
		now  []nat.BackendCounter
		err  error
		want map[string]float64
	}{
		{name: "nothing", want: map[string]float64{}},
		{name: "the first", now: []nat.BackendCounter{counter(web, vip, a, 3), counter(web, vip, b, 4), counter("default/plain", "10.96.0.2:80", a, 1)},
			want: map[string]float64{"default web http " + a: 3, "default web http " + b: 4, "default plain  " + a: 1}},
		{name: "a NodePort, too", now: []nat.BackendCounter{counter(web, vip, a, 5), local(counter(web, vip, a, 1)), counter(web, vip, b, 4), counter(web, node, a, 10)},
			want: map[string]float64{"default web http " + a: 16, "default web http " + b: 4, "default plain  " + a: 1}},
		{name: "unreadable", now: nil, err: errors.New("busy"),
			want: map[string]float64{"default web http " + a: 16, "default web http " + b: 4, "default plain  " + a: 1}},
		{name: "one is overlooked", now: []nat.BackendCounter{counter(web, vip, a, 5), counter(web, vip, b, 4)},
			want: map[string]float64{"default web http " + a: 16, "default web http " + b: 4}},
		{name: "another slot", now: []nat.BackendCounter{counter(web, vip, a, 2), counter(web, vip, b, 4), counter(web, node, a, 10)},
			want: map[string]float64{"default web http " + a: 18, "default web http " + b: 4}},
		{name: "no NodePort any more", now: []nat.BackendCounter{counter(web, vip, a, 2), counter(web, vip, b, 5)},
			want: map[string]float64{"default web http " + a: 18, "default web http " + b: 5}},
		{name: "another Service has the address", now: []nat.BackendCounter{counter("default/new", vip, a, 7)},
			want: map[string]float64{"default new  " + a: 7, "default web http " + a: 18, "default web http " + b: 5}},
		{name: "still", now: []nat.BackendCounter{counter("default/new", vip, a, 7)}, want: map[string]float64{"default new  " + a: 7}},
		{name: "it is back", now: []nat.BackendCounter{counter(web, vip, a, 1)}, want: map[string]float64{"default web http " + a: 1, "default new  " + a: 7}},
	} {
		now, failure = step.now, step.err
		if diff := cmp.Diff(step.want, proxiertest.Connections(t, registry)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.name, diff)
		}
	}
	cancel()
	if got := proxiertest.Connections(t, registry); len(got) > 0 {
		t.Errorf("after the end: %v", got)
	}
}
