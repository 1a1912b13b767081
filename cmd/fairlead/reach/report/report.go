// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"

	"fairlead/cmd/fairlead/output"
	"fairlead/cmd/fairlead/reach/plan"
)

// Report is what a test found.
type Report struct {
	Passed  int           `json:"passed"`
	Failed  int           `json:"failed"`
	Skipped int           `json:"skipped"`
	Seconds float64       `json:"seconds"`
	Checks  []plan.Result `json:"checks"`
	// Kept says that the objects of the test are still there.
	Kept bool `json:"kept,omitempty"`
}

// New returns the report of results.
func New(results []plan.Result, seconds float64) *Report {
	r := &Report{Checks: results, Seconds: seconds}
	r.Finish()
	return r
}

// Finish sorts and counts.
func (r *Report) Finish() {
	slices.SortStableFunc(r.Checks, func(a, b plan.Result) int {
		order := plan.Kinds()
		return cmp.Or(
			cmp.Compare(slices.Index(order, a.Kind), slices.Index(order, b.Kind)),
			cmp.Compare(a.From.String(), b.From.String()), cmp.Compare(a.What, b.What), cmp.Compare(a.Target, b.Target), cmp.Compare(a.Proto, b.Proto))
	})
	r.Passed, r.Failed, r.Skipped = 0, 0, 0
	for i := range r.Checks {
		switch c := &r.Checks[i]; {
		case c.Failed():
			r.Failed++
		case c.Skip != "":
			r.Skipped++
		default:
			r.Passed++
		}
	}
}

// common returns the node that takes part in all failures, as the one that dials or is
// dialled, if there is exactly one; else "".
func (r *Report) common() string {
	count := map[string]int{}
	nodes := map[string]bool{}
	for i := range r.Checks {
		c := &r.Checks[i]
		nodes[c.From.Node] = true
		if !c.Failed() {
			continue
		}
		count[c.From.Node]++
		if c.To != c.From.Node {
			count[c.To]++
		}
	}
	found := ""
	for node, n := range count {
		if node != "" && n == r.Failed {
			if found != "" {
				return "" // two nodes that do not reach each other
			}
			found = node
		}
	}
	if r.Failed < 2 || len(nodes) < 2 {
		return ""
	}
	return found
}

// shown is how many failures of one kind are printed without -o wide.
const shown = 10

// Print writes a line for each kind, then the failures; with wide set, all checks.
func (r *Report) Print(out io.Writer, wide bool) error {
	t := output.Table{Titles: []string{"CHECK", "PASSED", "FAILED", "SKIPPED", "SLOWEST", "REMARK"}}
	for _, kind := range plan.Kinds() {
		if row := r.row(kind); row != nil {
			t.Add(row...)
		}
	}
	if err := t.Print(out, true); err != nil {
		return err
	}
	if wide {
		if err := r.printAll(out); err != nil {
			return err
		}
	}
	if err := r.printFailures(out, wide); err != nil {
		return err
	}
	if node := r.common(); node != "" {
		if _, err := fmt.Fprintf(out, "\nNode %s takes part in all failures: begin there.\n", output.Clean(node)); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(out, "\n%d checks passed, %d failed, %d skipped, in %.0f s.\n", r.Passed, r.Failed, r.Skipped, r.Seconds)
	if err == nil && r.Failed > 0 && !r.Kept {
		_, err = fmt.Fprintln(out, "The pods and Services of the test are removed. For commands that explain them, repeat it with --keep.")
	}
	return err
}

// row counts the checks of a kind; nil if there is none.
func (r *Report) row(kind plan.Kind) []string {
	var passed, failed, skipped int
	var slowest float64
	remark := ""
	for i := range r.Checks {
		c := &r.Checks[i]
		if c.Kind != kind {
			continue
		}
		switch {
		case c.Failed():
			failed++
		case c.Skip != "":
			skipped++
			remark = c.Skip
		default:
			passed++
			slowest = max(slowest, c.Millis)
		}
	}
	if passed+failed+skipped == 0 {
		return nil
	}
	time := ""
	if passed > 0 {
		time = strconv.FormatFloat(slowest, 'f', 1, 64) + " ms"
	}
	return []string{string(kind), strconv.Itoa(passed), strconv.Itoa(failed), strconv.Itoa(skipped), time, remark}
}

func (r *Report) printAll(out io.Writer) error {
	t := output.Table{Titles: []string{"FROM", "TO", "ADDRESS", "RESULT", "ATTEMPTS", "TIME", "WANT"}}
	for i := range r.Checks {
		c := &r.Checks[i]
		result := map[bool]string{true: "passed", false: "failed"}[c.Passed]
		if c.Skip != "" {
			result = "skipped"
		}
		t.Add(c.From.String(), c.What, c.Address(), result, strconv.Itoa(c.Attempts), strconv.FormatFloat(c.Millis, 'f', 1, 64)+" ms", c.Want.String())
	}
	if _, err := fmt.Fprintln(out); err != nil {
		return err
	}
	return t.Print(out, true)
}

func (r *Report) printFailures(out io.Writer, all bool) error {
	printed := map[plan.Kind]int{}
	for i := range r.Checks {
		c := &r.Checks[i]
		if !c.Failed() {
			continue
		}
		if printed[c.Kind]++; printed[c.Kind] > shown && !all {
			continue
		}
		if _, err := fmt.Fprintf(out, "\nFAILED  %s: from %s to %s\n", c.Kind, output.Clean(c.From.String()), output.Clean(c.Where())); err != nil {
			return err
		}
		for _, line := range [][2]string{{"wanted", c.Want.String()}, {"found", c.Problem}, {"next", c.Next}} {
			if _, err := fmt.Fprintf(out, "  %-7s %s\n", line[0], output.Clean(line[1])); err != nil {
				return err
			}
		}
	}
	for _, kind := range plan.Kinds() {
		if n := printed[kind] - shown; n > 0 && !all {
			if _, err := fmt.Fprintf(out, "\n%d more failures of %s: see them with -o wide.\n", n, kind); err != nil {
				return err
			}
		}
	}
	return nil
}
