// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairlead/bench/stat"
)

func testSet() *stat.Set {
	set := &stat.Set{}
	add := func(subject, metric, unit string, round int, v float64, bound bool) {
		set.Add(stat.Sample{Part: "latency", Metric: metric, Unit: unit, Subject: subject, Services: 100, Round: round, Value: v, AtLeast: bound})
	}
	for round, v := range []float64{0.004, 0.005, 0.009} {
		add("fairlead", "update", "s", round, v, false)
		add("peer", "update", "s", round, 10*v, false)
		add("fairlead", "flows", "1/s", round, 3000*v, false)
		add("peer", "flows", "1/s", round, 1500*v, false)
	}
	add("fairlead", "repair", "s", 0, 0.2, false)
	add("peer", "repair", "s", 0, 10, true)
	set.Voids = []stat.Void{{Part: "latency", Subject: "other", Services: 100, Reason: "it ended\nand more"}}
	return set
}

func TestMarkdown(t *testing.T) {
	var out strings.Builder
	if err := Markdown(&out, Machine{Command: "make bench", CPUs: 2}, testSet(), []string{"A note."}, []string{"", "### More\n\ntext\n\n"}); err != nil {
		t.Fatal(err)
	}
	_, got, _ := strings.Cut(out.String(), "fairlead.\n")
	want := `
* A note.
* latency, 100 Services: the comparison with other is void: it ended

### Latency, 100 Services

| | fairlead | peer | ratio |
|---|--:|--:|--:|
| update | 5.00 ms (4.50 ms to 7.00 ms) | 50.0 ms (45.0 ms to 70.0 ms) | 10.0 (10.0 to 10.0) |
| flows | 15.0 /s (13.5 /s to 21.0 /s) | 7.50 /s (6.75 /s to 10.5 /s) | 2.00 (2.00 to 2.00) |
| repair | 200 ms | more than 10.0 s | more than 50.0 |


### More

text
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestCapacity(t *testing.T) {
	want := `### Capacity: what fairlead takes on one node

| | update | other |
|---|--:|--:|
| latency, 100 Services | 5.00 ms | - |
`
	if diff := cmp.Diff(want, Capacity(testSet(), []Column{{"update", "update"}, {"nothing", "other"}})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := Capacity(testSet(), []Column{{"nothing", "other"}}); got != "" {
		t.Errorf("%q", got)
	}
}

// The summary takes the largest size at which all were measured, and says which.
func TestSummary(t *testing.T) {
	set := testSet()
	set.Add(stat.Sample{Part: "latency", Metric: "update", Unit: "s", Subject: "fairlead", Services: 1000, Value: 1})
	var out strings.Builder
	rows := []Row{{"latency", "update"}, {"latency", "repair"}, {"latency", "unknown"}}
	if err := Summary(&out, Machine{Command: "make bench", CPUs: 2}, set, rows, []string{"peer"}); err != nil {
		t.Fatal(err)
	}
	_, got, _ := strings.Cut(out.String(), "\n\n")
	want := `| | Services | fairlead | peer | ratio |
|---|--:|--:|--:|--:|
| update | 100 | 5.00 ms | 50.0 ms | 10.0 (10.0 to 10.0) |
| repair | 100 | 200 ms | more than 10.0 s | more than 50.0 |
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestDrawNeedsSamplesOnly(t *testing.T) {
	dir := t.TempDir()
	for _, f := range []Figure{
		{File: "one", Part: "latency", Metric: "update", Unit: 1e-3},
		{File: "none", Part: "latency", Metric: "nothing", Unit: 1},
	} {
		if err := f.Draw(dir, testSet()); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []Chart{
		{File: "chart", Part: "latency", Prefix: "up", Unit: 1e-3, Decades: true},
		{File: "none", Part: "fairness", Unit: 1}, {File: "none", Part: "latency", Prefix: "nothing", Unit: 1},
	} {
		if err := c.Draw(dir, testSet()); err != nil {
			t.Fatal(err)
		}
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		names = append(names, f.Name())
	}
	if diff := cmp.Diff([]string{"chart.png", "chart.svg", "one.png", "one.svg"}, names); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	svg, err := os.ReadFile(filepath.Join(dir, "one.svg"))
	if err != nil || !strings.Contains(string(svg), "peer") {
		t.Errorf("the legend is missing: %v", err)
	}
}

func TestValue(t *testing.T) {
	for _, c := range []struct {
		v    float64
		unit string
		want string
	}{
		{0.00044, "s", "440 µs"}, {4.2, "s", "4.20 s"}, {123, "s", "123 s"}, {0, "s", "0 ns"},
		{1 << 30, "B", "1.00 GiB"}, {99.96 * (1 << 20), "B", "100 MiB"},
		{12345, "1/s", "12.3 k/s"}, {50, "ns", "50.0 ns"}, {3, "messages", "3.00 messages"},
	} {
		if got := value(c.v, c.unit); got != c.want {
			t.Errorf("%v %s is %q, want %q", c.v, c.unit, got, c.want)
		}
	}
}

func TestWrapped(t *testing.T) {
	want := "beside a Service of\n5000 endpoints that\nchange"
	if got := wrapped("beside a Service of 5000 endpoints that change"); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
