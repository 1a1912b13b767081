// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"encoding/xml"
	"fmt"
	"io"

	"fairlead/cmd/fairlead/output"
	"fairlead/cmd/fairlead/reach/plan"
)

// The elements of JUnit's XML that programs for continuous integration read.
type (
	suites struct {
		XMLName  xml.Name `xml:"testsuites"`
		Tests    int      `xml:"tests,attr"`
		Failures int      `xml:"failures,attr"`
		Skipped  int      `xml:"skipped,attr"`
		Time     string   `xml:"time,attr"` // seconds
		Suites   []suite  `xml:"testsuite"`
	}
	suite struct {
		Name     string     `xml:"name,attr"`
		Tests    int        `xml:"tests,attr"`
		Failures int        `xml:"failures,attr"`
		Skipped  int        `xml:"skipped,attr"`
		Cases    []testcase `xml:"testcase"`
	}
	testcase struct {
		Name    string  `xml:"name,attr"`
		Class   string  `xml:"classname,attr"`
		Time    string  `xml:"time,attr"`
		Failure *remark `xml:"failure,omitempty"`
		Skipped *remark `xml:"skipped,omitempty"`
	}
	remark struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

// JUnit writes the report as JUnit's XML, with a suite for each kind of check.
func (r *Report) JUnit(out io.Writer) error {
	all := suites{Tests: len(r.Checks), Failures: r.Failed, Skipped: r.Skipped, Time: fmt.Sprintf("%.3f", r.Seconds)}
	for _, kind := range plan.Kinds() {
		s := suite{Name: "fairlead " + string(kind)}
		for i := range r.Checks {
			if c := &r.Checks[i]; c.Kind == kind {
				s.add(c)
			}
		}
		if s.Tests > 0 {
			all.Suites = append(all.Suites, s)
		}
	}
	if _, err := io.WriteString(out, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(out)
	enc.Indent("", "  ")
	if err := enc.Encode(all); err != nil {
		return err
	}
	_, err := io.WriteString(out, "\n")
	return err
}

func (s *suite) add(c *plan.Result) {
	one := testcase{Name: output.Clean(c.From.String() + " to " + c.Where()), Class: "fairlead." + string(c.Kind), Time: fmt.Sprintf("%.3f", c.Millis/1000)}
	s.Tests++
	switch {
	case c.Failed():
		s.Failures++
		one.Failure = &remark{Message: output.Clean(c.Problem), Text: output.Clean("wanted " + c.Want.String() + "; next: " + c.Next)}
	case c.Skip != "":
		s.Skipped++
		one.Skipped = &remark{Message: output.Clean(c.Skip)}
	}
	s.Cases = append(s.Cases, one)
}
