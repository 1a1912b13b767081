// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/component-base/metrics"
)

// TestRemarks changes one Service step by step, and looks at what is counted.
func TestRemarks(t *testing.T) {
	svc := testService()
	svc.InternalLocal, svc.ExternalLocal = true, true
	self := &Self{Name: "node-a", Zone: "z1", Addrs: []netip.Addr{netip.MustParseAddr("192.0.2.1")}}
	r := newRemarks()
	for _, step := range []struct {
		name   string
		change func()
		eps    string
		want   string
	}{
		{name: "none anywhere", want: "internal 0 external 0 map[] []"},
		{name: "none here", eps: "b1", want: "internal 1 external 1 map[] []"},
		{name: "hints for others", eps: "b1/z2", want: "internal 1 external 1 map[{zone no endpoint is hinted for this node or zone}:1] []"},
		{name: "one here, drains", eps: "b1 a1/draining", want: "internal 0 external 0 map[] []"},
		{name: "any node will do, inside", change: func() { svc.InternalLocal = false }, eps: "b1", want: "internal 0 external 1 map[] []"},
		{name: "nor from outside", change: func() { svc.ExternalLocal = false }, eps: "b1", want: "internal 0 external 0 map[] []"},
		{name: "the node's address", change: func() { svc.ExternalIPs = self.Addrs }, eps: "b1",
			want: "internal 0 external 0 map[] [Service default/web: spec.externalIPs: 192.0.2.1:80/tcp is an address of this node: the port of the node itself is out of reach]"},
	} {
		if step.change != nil {
			step.change()
		}
		list := testSlices(t, step.eps)
		problems := r.set(svc.Key, svc, resolve(svc, list, self), list, &clusterFacts{self: *self})
		got := fmt.Sprintf("internal %d external %d %v %v", r.internal, r.external, r.fallbacks, problems)
		if got != step.want {
			t.Errorf("%s: %s, want %s", step.name, got, step.want)
		}
	}
	problems := r.set(svc.Key, nil, nil, nil, &clusterFacts{self: *self})
	if len(r.byService)+len(r.users) != 0 || len(problems) != 0 {
		t.Errorf("a Service that is gone left %+v", r.byService)
	}
}

// TestMetrics runs a Proxier on a fake kernel and scrapes it.
func TestMetrics(t *testing.T) {
	registry := metrics.NewKubeRegistry()
	series := NewMetrics(registry.MustRegister)
	inLoopWith(t, series, func(t *testing.T, l *loop) {
		l.table.say(refusing("10.96.0.9 ."))
		l.putMany(10)
		l.after(0)
		l.table.watcher()
		l.after(0)
	})
	want := []string{
		"fairlead_affinity_forgotten_clients_total 0",
		"fairlead_backends 10",
		"fairlead_conntrack_dropped_packets_total 0", "fairlead_conntrack_entries 0", "fairlead_conntrack_entries_limit 0",
		"fairlead_conntrack_scanned_flows_total 0",
		"fairlead_conntrack_sweep_failures_total 0",
		"fairlead_frontends 10",
		"fairlead_nat_loads_total 2",
		"fairlead_nat_refusals_total 2",
		"fairlead_nat_repairs_total 1",
		"fairlead_problems kind=Service 1",
		"kubeproxy_conntrack_reconciler_deleted_entries_total 0",
		"kubeproxy_sync_proxy_rules_endpoint_changes_pending 0",
		"kubeproxy_sync_proxy_rules_endpoint_changes_total 10",
		"kubeproxy_sync_proxy_rules_nftables_sync_failures_total 0",
		"kubeproxy_sync_proxy_rules_no_local_endpoints_total traffic_policy=external 0",
		"kubeproxy_sync_proxy_rules_no_local_endpoints_total traffic_policy=internal 0",
		"kubeproxy_sync_proxy_rules_service_changes_pending 0",
		"kubeproxy_sync_proxy_rules_service_changes_total 10",
	}
	got := slices.DeleteFunc(scrape(t, registry), func(line string) bool {
		return strings.Contains(line, "overlay") || strings.Contains(line, "operations") || strings.Contains(line, "commits") || strings.Contains(line, "_seconds")
	})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
}

// scrape returns all counters and gauges, sorted.
func scrape(t *testing.T, registry metrics.Gatherer) []string {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, f := range families {
		for _, m := range f.GetMetric() {
			s := f.GetName()
			for _, l := range m.GetLabel() {
				s += " " + l.GetName() + "=" + l.GetValue()
			}
			out = append(out, fmt.Sprint(s, " ", m.GetCounter().GetValue()+m.GetGauge().GetValue()))
		}
	}
	slices.Sort(out)
	return out
}
