// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	kmetrics "k8s.io/component-base/metrics"

	"fairlead/proxier/metrics"
	"fairlead/proxier/proxiertest"
)

// TestMetrics runs a Proxier on a fake kernel and scrapes it.
func TestMetrics(t *testing.T) {
	registry := kmetrics.NewKubeRegistry()
	series := metrics.NewMetrics(registry.MustRegister)
	inLoopWith(t, series, func(_ *testing.T, l *loop) {
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
		"fairlead_drift_repairs_total kind=table 1",
		"fairlead_frontends 10",
		"fairlead_nat_loads_total 2",
		"fairlead_nat_refusals_total 2",
		"fairlead_nat_repairs_total 1",
		"fairlead_problems kind=Service 1",
		"fairlead_source_check_dropped_packets_total 0",
		"kubeproxy_conntrack_reconciler_deleted_entries_total 0",
		"kubeproxy_sync_proxy_rules_endpoint_changes_pending 0",
		"kubeproxy_sync_proxy_rules_endpoint_changes_total 10",
		"kubeproxy_sync_proxy_rules_nftables_sync_failures_total 0",
		"kubeproxy_sync_proxy_rules_no_local_endpoints_total traffic_policy=external 0",
		"kubeproxy_sync_proxy_rules_no_local_endpoints_total traffic_policy=internal 0",
		"kubeproxy_sync_proxy_rules_service_changes_pending 0",
		"kubeproxy_sync_proxy_rules_service_changes_total 10",
	}
	got := slices.DeleteFunc(proxiertest.Scrape(t, registry), func(line string) bool {
		return strings.Contains(line, "overlay") || strings.Contains(line, "operations") || strings.Contains(line, "commits") || strings.Contains(line, "_seconds")
	})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
}
