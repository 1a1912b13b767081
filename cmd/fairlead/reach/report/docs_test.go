// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"fairlead/cmd/fairlead/reach/plan"
)

const page = "../../../../docs/connectivity-test.md"

// TestPageTable prints a report with the counts of the table in the page. It has each kind of
// check, and the command prints the same text.
func TestPageTable(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile(`(?m)^    (\S.*?)  +(\d+) +0 +0 +([0-9.]+) ms +-$`)
	var results []plan.Result
	for _, m := range row.FindAllStringSubmatch(string(text), -1) {
		n, _ := strconv.Atoi(m[2])
		millis, _ := strconv.ParseFloat(m[3], 64)
		for range n {
			results = append(results, plan.Result{Check: plan.Check{Kind: plan.Kind(m[1])}, Passed: true, Millis: millis})
		}
	}
	seconds := regexp.MustCompile(`0 skipped, in (\d+) s\.`).FindStringSubmatch(string(text))
	if len(results) == 0 || seconds == nil {
		t.Fatalf("%s has no table of checks", page)
	}
	took, _ := strconv.ParseFloat(seconds[1], 64)
	var b strings.Builder
	if err := New(results, took).Print(&b, false); err != nil {
		t.Fatal(err)
	}
	want := strings.ReplaceAll("    "+strings.ReplaceAll(strings.TrimSpace(b.String()), "\n", "\n    "), "\n    \n", "\n\n")
	if !strings.Contains(string(text), want) {
		t.Errorf("%s has another table; the command prints\n%s", page, want)
	}
	for _, kind := range plan.Kinds() {
		if kind != plan.Setup && !strings.Contains(want, "    "+string(kind)+"  ") {
			t.Errorf("the table of %s has no row %q: run the command in a cluster, and put its output there", page, kind)
		}
		if !regexp.MustCompile("(?m)^\\|[^|]*`" + regexp.QuoteMeta(string(kind)) + "`[^|]*\\|").Match(text) {
			t.Errorf("%s does not say what the check %q tries", page, kind)
		}
	}
}

// TestPageFailure prints the failure that the page shows.
func TestPageFailure(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	server := func(node string) string { return "pod on " + node }
	bad := plan.Result{
		Check: plan.Check{
			Kind: plan.ClusterIP, From: plan.Client{Node: "node2"}, What: "Service fairlead-test/fairlead-test-cluster", Target: "10.96.170.226:80", Proto: plan.TCP,
			Want: plan.Want{Servers: []string{server("node1"), server("node2"), server("node3")}, Count: 24, Spread: true},
		},
		Problem: "no answer in time", Next: "kubectl exec -n kube-system fairlead-x7k2p -- /fairlead explain --from pod 10.96.170.226:80/tcp",
	}
	var b strings.Builder
	if err := New([]plan.Result{bad, bad, {Check: plan.Check{Kind: plan.Pod, From: plan.Client{Node: "node1"}}, Passed: true}}, 1).Print(&b, false); err != nil {
		t.Fatal(err)
	}
	for line := range strings.SplitSeq(b.String(), "\n") {
		if (strings.HasPrefix(line, "FAILED") || strings.HasPrefix(line, "  ") || strings.HasPrefix(line, "Node ")) && !strings.Contains(string(text), fmt.Sprintf("    %s\n", line)) {
			t.Errorf("%s does not have the line %q", page, line)
		}
	}
}
