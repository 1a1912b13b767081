// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"errors"
	"strings"
	"testing"

	kmetrics "k8s.io/component-base/metrics"
	"k8s.io/klog/v2/ktesting"

	"fairlead/cmd/fairlead/options"
	"fairlead/conntrack"
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
