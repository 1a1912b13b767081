// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package monitoring

import (
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

const (
	rulesFile     = "../../chart/files/rules.yaml"
	dashboardFile = "../../chart/files/dashboard.json"
	metricsPage   = "../../../docs/metrics.md"
)

// read unmarshals a file of YAML or JSON.
func read(t *testing.T, file string, into any) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err == nil {
		err = yaml.Unmarshal(text, into)
	}
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

type rules struct {
	Groups []struct {
		Rules []struct {
			Alert, Record, Expr string
			Labels, Annotations map[string]string
		}
	}
}

// TestPromtool checks the rules, and runs their unit tests, with Prometheus' own
// program.
func TestPromtool(t *testing.T) {
	program, err := exec.LookPath("promtool")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("promtool is not installed: it is in Debian's package prometheus")
		}
		t.Skip("promtool is not installed: it is in Debian's package prometheus")
	}
	for _, args := range [][]string{{"check", "rules", "--lint-fatal", rulesFile}, {"test", "rules", "testdata/rules_test.yaml"}} {
		if out, err := exec.CommandContext(t.Context(), program, args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// TestAlertsAreTested checks that each alert has a test in which it fires, a severity
// and a paragraph in the page that its runbook_url names.
func TestAlertsAreTested(t *testing.T) {
	var r rules
	read(t, rulesFile, &r)
	var tests struct {
		Tests []struct {
			Alerts []struct {
				Alertname string
				Fires     []any `json:"exp_alerts"`
			} `json:"alert_rule_test"`
		}
	}
	read(t, "testdata/rules_test.yaml", &tests)
	fires := map[string]bool{}
	for _, test := range tests.Tests {
		for _, a := range test.Alerts {
			fires[a.Alertname] = fires[a.Alertname] || len(a.Fires) > 0
		}
	}
	page, err := os.ReadFile(metricsPage)
	if err != nil {
		t.Fatal(err)
	}
	alerts := 0
	for _, g := range r.Groups {
		for _, rule := range g.Rules {
			if rule.Alert == "" {
				continue
			}
			alerts++
			if !fires[rule.Alert] {
				t.Errorf("%s fires in no test", rule.Alert)
			}
			if !slices.Contains([]string{"critical", "warning", "info"}, rule.Labels["severity"]) {
				t.Errorf("%s: severity %q", rule.Alert, rule.Labels["severity"])
			}
			if want := "docs/metrics.md#" + strings.ToLower(rule.Alert); rule.Annotations["runbook_url"] != want {
				t.Errorf("%s: runbook_url %q, want %q", rule.Alert, rule.Annotations["runbook_url"], want)
			}
			if !strings.Contains(string(page), "\n### "+rule.Alert+"\n") {
				t.Errorf("docs/metrics.md has no paragraph about %s", rule.Alert)
			}
		}
	}
	if alerts < 10 {
		t.Errorf("%d alerts were found", alerts)
	}
}

// series are names in an expression that look like series, without the ending of
// histograms. Recording rules have colons.
var series = regexp.MustCompile(`\b(?:fairlead|kubeproxy|kubernetes|process|go|rest_client)_[a-z0-9_]+|\b(?:instance|cluster):[a-z0-9_:]+`)

// TestSeriesExist checks that rules and dashboard use only series that docs/metrics.md
// lists, which a test of the agent compares with what it serves, and labels likewise.
func TestSeriesExist(t *testing.T) {
	page, err := os.ReadFile(metricsPage)
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{"kubernetes_build_info": true, "process_resident_memory_bytes": true, "process_cpu_seconds_total": true}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z0-9_]+)` \\|").FindAllStringSubmatch(string(page), -1) {
		known[m[1]] = true
	}
	var r rules
	read(t, rulesFile, &r)
	var exprs []string
	for _, g := range r.Groups {
		for _, rule := range g.Rules {
			exprs = append(exprs, rule.Expr)
			if rule.Record != "" {
				known[rule.Record] = true
			}
		}
	}
	exprs = append(exprs, dashboardExprs(t)...)
	if len(exprs) < 40 || len(known) < 30 {
		t.Fatalf("%d expressions and %d series were found", len(exprs), len(known))
	}
	for _, e := range exprs {
		found := series.FindAllString(e, -1)
		if len(found) == 0 && !strings.HasPrefix(e, "up{") {
			t.Errorf("no series in %s", e)
		}
		for _, name := range found {
			if base := regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(name, ""); !known[name] && !known[base] {
				t.Errorf("docs/metrics.md does not list %s, which is used in %s", name, e)
			}
		}
	}
}

// dashboardExprs returns the queries of all panels, whose identifiers must differ and
// which must not overlap.
func dashboardExprs(t *testing.T) (out []string) {
	t.Helper()
	var d struct {
		Panels []struct {
			ID      int
			Type    string
			Title   string
			GridPos struct{ H, W, X, Y int }
			Targets []struct{ Expr string }
		}
	}
	text, err := os.ReadFile(dashboardFile)
	if err == nil {
		err = json.Unmarshal(text, &d)
	}
	if err != nil {
		t.Fatal(err)
	}
	ids, cells := map[int]bool{}, map[[2]int]string{}
	for _, p := range d.Panels {
		if ids[p.ID] || p.Title == "" || p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("panel %d %q: its number is taken, or it has no title or query", p.ID, p.Title)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := cells[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("panel %q is on top of %q or beyond the edge", p.Title, other)
				}
				cells[[2]int{x, y}] = p.Title
			}
		}
		for _, target := range p.Targets {
			out = append(out, target.Expr)
		}
	}
	return out
}
