// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"
	"k8s.io/component-base/metrics"

	"fairlead/nat"
	"fairlead/nat/ruleset"
)

// TestMetricsDocumented compares docs/metrics.md with what is registered: name,
// type and labels of each series.
func TestMetricsDocumented(t *testing.T) {
	registry := metrics.NewKubeRegistry()
	m := NewMetrics(registry.MustRegister)
	m.ops.WithLabelValues("add").Inc() // series with labels appear with their first value
	m.problems.set([]sample{{1, []string{"Service"}}})
	m.noLocal.WithLabelValues("internal").Inc()
	m.fallbacks.set([]sample{{1, []string{"zone", "reason"}}})
	m.Healthz(200)
	m.Livez(200)
	CountConnections(t.Context(), registry.MustRegister, countersFunc(func() ([]nat.BackendCounter, error) {
		return []nat.BackendCounter{{Owner: "default/web"}}, nil
	}))
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for _, f := range families {
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, "`"+l.GetName()+"`")
		}
		want[f.GetName()] = strings.ToLower(f.GetType().String()) + " " + strings.Join(labels, ", ")
		if f.GetType() == dto.MetricType_COUNTER && !strings.HasSuffix(f.GetName(), "_total") {
			t.Errorf("counter %s does not end in _total", f.GetName())
		}
		if !strings.HasPrefix(f.GetHelp(), "[ALPHA] ") || !strings.HasSuffix(f.GetHelp(), ".") {
			t.Errorf("help of %s is %q", f.GetName(), f.GetHelp())
		}
	}
	text, err := os.ReadFile(filepath.Join("..", "docs", "metrics.md"))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| (\\w+) \\| ([^|]*)\\| [^|]+ \\|$").FindAllStringSubmatch(string(text), -1) {
		got[row[1]] = row[2] + " " + strings.TrimSpace(row[3])
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("docs/metrics.md (-registry +page):\n%s", diff)
	}
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if strings.Count(string(text), "| `"+name+"` |") != 1 {
			t.Errorf("%s has more than one line", name)
		}
	}
}

// TestChangeMetrics: what the kernel does not take stays pending, and can be
// seen while it does.
func TestChangeMetrics(t *testing.T) {
	registry := metrics.NewKubeRegistry()
	series := NewMetrics(registry.MustRegister)
	values := func(t *testing.T) string {
		t.Helper()
		var out []string
		for _, line := range scrape(t, registry) {
			if rest, ok := strings.CutPrefix(line, "kubeproxy_sync_proxy_rules_"); ok && strings.Contains(line, "_changes_") {
				out = append(out, rest)
			}
		}
		return strings.Join(out, ", ")
	}
	format := "endpoint_changes_pending %d, endpoint_changes_total %d, service_changes_pending %d, service_changes_total %d"
	inLoopWith(t, series, func(t *testing.T, l *loop) {
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
		if !slices.Contains(scrape(t, registry), want) {
			t.Errorf("%s is not in\n%s", want, strings.Join(scrape(t, registry), "\n"))
		}
	})
}
