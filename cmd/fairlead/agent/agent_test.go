// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	kmetrics "k8s.io/component-base/metrics"
	"k8s.io/klog/v2/ktesting"

	"fairlead/cmd/fairlead/options"
	"fairlead/conntrack"
	"fairlead/nat"
	"fairlead/proxier/metrics"
	"fairlead/proxier/resolve"
	"fairlead/proxier/store"
)

// TestConntrackProblem reports a full connection tracking table as a problem of the
// node, and withdraws it.
func TestConntrackProblem(t *testing.T) {
	registry := kmetrics.NewKubeRegistry()
	a := &agent{store: store.New(), metrics: metrics.NewMetrics(registry.MustRegister), cfg: &options.Config{Proxier: resolve.Config{NodeName: "node-a"}}}
	log, _ := ktesting.NewTestContext(t)
	report := a.reportFill(log)
	problems := func() string {
		var out []string
		for _, p := range a.store.Book().Problems() {
			out = append(out, p.Name+" "+p.Field+": "+p.Text)
		}
		return strings.Join(out, "\n")
	}
	report(conntrack.Fill{Entries: 99, Limit: 100, Dropped: 7}, "nearly full", nil)
	report(conntrack.Fill{}, "", errors.New("a read that fails changes nothing"))
	if got := problems(); got != "node-a conntrack: nearly full" {
		t.Errorf("problems: %q", got)
	}
	report(conntrack.Fill{Entries: 50, Limit: 100, Dropped: 9}, "", nil)
	if got := problems(); got != "" {
		t.Errorf("problems remain: %q", got)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]float64{"fairlead_conntrack_entries": 50, "fairlead_conntrack_entries_limit": 100, "fairlead_conntrack_dropped_packets_total": 2}
	for _, f := range families {
		m := f.GetMetric()[0]
		if w, ok := want[f.GetName()]; ok && m.GetGauge().GetValue()+m.GetCounter().GetValue() != w {
			t.Errorf("%s is %v, want %v", f.GetName(), m, w)
		}
		delete(want, f.GetName())
	}
	if len(want) > 0 {
		t.Errorf("missing series: %v", want)
	}
}

// TestForgedPackets publishes what the source check dropped as a series and in the state.
func TestForgedPackets(t *testing.T) {
	registry := kmetrics.NewKubeRegistry()
	cfg := &options.Config{Proxier: resolve.Config{NodeName: "node-a", CheckedInterfaces: []string{"veth*"}}}
	a := &agent{store: store.New(), metrics: metrics.NewMetrics(registry.MustRegister), cfg: cfg}
	log, _ := ktesting.NewTestContext(t)
	report := a.reportForged(log)
	report(5, nil)
	if got := a.forged.Load(); got == nil || got.Dropped != 0 || got.Last != nil {
		t.Errorf("packets of an earlier agent: %+v", got)
	}
	report(7, nil)
	report(0, errors.New("a read that fails changes nothing"))
	report(9, nil)
	report(9, nil)
	if got := a.forged.Load(); got.Dropped != 4 || got.Last == nil || len(got.Interfaces) != 1 {
		t.Errorf("%+v, want 4 packets", got)
	}
}

// TestAffinityFull publishes the clients of each affinity map as a series, and reports the maps
// that are full until they have room again.
func TestAffinityFull(t *testing.T) {
	registry := kmetrics.NewKubeRegistry()
	a := &agent{store: store.New(), metrics: metrics.NewMetrics(registry.MustRegister), cfg: &options.Config{Proxier: resolve.Config{NodeName: "node-a"}}}
	log, _ := ktesting.NewTestContext(t)
	report := a.reportAffinity(log)
	full := "Node node-a: session affinity: the session affinity map affinity4-2 is full with 100 clients: new clients are not remembered there"
	for _, step := range []struct {
		name    string
		clients int // in affinity4-2, of 100
		err     error
		want    []string
	}{
		{"room for one", 99, nil, nil},
		{"full", 100, nil, []string{full}},
		{"a count that fails changes nothing", 0, errors.New("busy"), []string{full}},
		{"room again", 99, nil, nil},
	} {
		report([]nat.AffinityMap{{Name: "affinity4", Clients: 7, Size: 100}, {Name: "affinity4-2", Clients: step.clients, Size: 100}}, step.err)
		var got []string
		for _, p := range a.store.Book().Problems() {
			got = append(got, p.String())
		}
		if !slices.Equal(got, step.want) {
			t.Errorf("%s: problems %q, want %q", step.name, got, step.want)
		}
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "fairlead_affinity_clients" {
				got[m.GetLabel()[0].GetValue()] = m.GetGauge().GetValue()
			}
		}
	}
	if want := map[string]float64{"affinity4": 7, "affinity4-2": 99}; !maps.Equal(got, want) {
		t.Errorf("fairlead_affinity_clients is %v, want %v", got, want)
	}
}
