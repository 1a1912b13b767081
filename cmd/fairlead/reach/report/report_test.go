// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"fairlead/cmd/fairlead/reach/plan"
)

const hostile = "a\x1b[2J"

func sample() *Report {
	from := plan.Client{Node: "a"}
	bad := plan.Result{Check: plan.Check{Kind: plan.ClusterIP, From: from, What: "Service ns/x", Target: "10.96.0.1:80", Proto: plan.TCP, Want: plan.Want{Servers: []string{"b"}}},
		Problem: "no answer in time", Next: "on a: fairlead explain --from pod 10.96.0.1:80/tcp", Attempts: 3}
	results := []plan.Result{
		bad,
		{Check: plan.Check{Kind: plan.Pod, From: plan.Client{Node: "b"}, What: "pod on a"}, Passed: true, Millis: 1.25},
		{Check: plan.Check{Kind: plan.DNS, From: from, What: hostile, Skip: "no DNS"}},
	}
	for range shown {
		results = append(results, bad)
	}
	return New(results, 3)
}

// TestPrint: the report names failures, where they are and what to do, in all forms, and
// nothing reaches the terminal as a control character.
func TestPrint(t *testing.T) {
	var b bytes.Buffer
	if err := sample().Print(&b, false); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"pod        1       0       0        1.2 ms   -\n",
		"ClusterIP  0       11      0        -        -\n",
		"DNS        0       0       1        -        no DNS\n",
		"FAILED  ClusterIP: from pod on a to Service ns/x (10.96.0.1:80/tcp)\n  wanted  an answer of b\n  found   no answer in time\n  next    on a: fairlead explain --from pod 10.96.0.1:80/tcp\n",
		"1 more failures of ClusterIP: see them with -o wide.\n",
		"Node a takes part in all failures: begin there.\n",
		"1 checks passed, 11 failed, 1 skipped, in 3 s.\n",
		"repeat it with --keep",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is missing in:\n%s", want, b.String())
		}
	}
	if err := sample().Print(&b, true); err != nil || strings.ContainsRune(b.String(), 0x1b) || !strings.Contains(b.String(), `a\x1b[2J`) {
		t.Errorf("%v\n%q", err, b.String())
	}
}

// TestJUnit: the file is XML whose counts are those of its elements.
func TestJUnit(t *testing.T) {
	var b bytes.Buffer
	if err := sample().JUnit(&b); err != nil {
		t.Fatal(err)
	}
	failures, skipped, cases := 0, 0, 0
	dec := xml.NewDecoder(&b)
	for {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := token.(xml.StartElement); ok {
			switch e.Name.Local {
			case "failure":
				failures++
			case "skipped":
				skipped++
			case "testcase":
				cases++
			}
		}
	}
	if failures != 11 || skipped != 1 || cases != 13 {
		t.Errorf("%d cases, %d failures, %d skipped", cases, failures, skipped)
	}
}
