// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"
	"k8s.io/component-base/metrics"

	"fairlead/nat"
)

// TestMetricsDocumented compares docs/metrics.md with the registered series: name, type
// and labels of each.
func TestMetricsDocumented(t *testing.T) {
	registry := metrics.NewKubeRegistry()
	m := NewMetrics(registry.MustRegister)
	m.ops.WithLabelValues("add").Inc() // series with labels appear with their first value
	m.Remembered([]nat.AffinityMap{{Name: "affinity4"}})
	m.problems.set([]sample{{1, []string{"Service"}}})
	m.noLocal.WithLabelValues("internal").Inc()
	m.fallbacks.set([]sample{{1, []string{"zone", "reason"}}})
	m.Repaired("chain", 1)
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
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "metrics.md"))
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
