// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	kmetrics "k8s.io/component-base/metrics"

	"fairlead/nat"
	"fairlead/nat/ruleset"
	"fairlead/proxier/metrics"
	"fairlead/proxier/proxiertest"
)

// TestChangeMetrics: what the kernel does not take stays pending, and can be
// seen while it does.
func TestChangeMetrics(t *testing.T) {
	registry := kmetrics.NewKubeRegistry()
	series := metrics.NewMetrics(registry.MustRegister)
	values := func(t *testing.T) string {
		t.Helper()
		var out []string
		for _, line := range proxiertest.Scrape(t, registry) {
			if rest, ok := strings.CutPrefix(line, "kubeproxy_sync_proxy_rules_"); ok && strings.Contains(line, "_changes_") {
				out = append(out, rest)
			}
		}
		return strings.Join(out, ", ")
	}
	format := "endpoint_changes_pending %d, endpoint_changes_total %d, service_changes_pending %d, service_changes_total %d"
	inLoopWith(t, series, func(t *testing.T, l *loop) {
		t.Helper()
		l.after(0)
		l.put(1, 1)
		l.after(0)
		if got, want := values(t), fmt.Sprintf(format, 0, 1, 0, 1); got != want {
			t.Errorf("after a change: %s, want %s", got, want)
		}
		l.table.say(func(ruleset.Batch) error { return nat.ErrPermission })
		l.put(1, 2)
		l.put(2, 1)
		l.after(0)
		queued := time.Now()
		if got, want := values(t), fmt.Sprintf(format, 2, 3, 1, 2); got != want {
			t.Errorf("while the kernel refuses: %s, want %s", got, want)
		}
		l.table.say(nil)
		l.after(time.Minute)
		if got, want := values(t), fmt.Sprintf(format, 0, 3, 0, 2); got != want {
			t.Errorf("once it does not: %s, want %s", got, want)
		}
		want := fmt.Sprint("kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds ", float64(queued.UnixNano())/1e9)
		if !slices.Contains(proxiertest.Scrape(t, registry), want) {
			t.Errorf("%s is not in\n%s", want, strings.Join(proxiertest.Scrape(t, registry), "\n"))
		}
	})
}
