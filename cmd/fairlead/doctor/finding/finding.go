// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package finding holds the results of the checks of a node, and writes them as text.
// It does no I/O.
package finding

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Severity says how bad a finding is. A higher one is worse.
type Severity uint8

// The severities. Unknown means that something could not be checked; Warning that it
// works now, or in part; Error that traffic is or will be lost.
const (
	OK Severity = iota
	Unknown
	Warning
	Error
)

func names() [4]string { return [...]string{"ok", "unknown", "warning", "error"} }

// String returns the word of reports.
func (s Severity) String() string { return names()[min(s, Error)] }

// MarshalText writes the word.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the word.
func (s *Severity) UnmarshalText(b []byte) error {
	list := names()
	i := slices.Index(list[:], string(b))
	if i < 0 {
		return fmt.Errorf("severity %q is not one of %s", b, strings.Join(list[:], ", "))
	}
	*s = Severity(i)
	return nil
}

// Finding is what one check found.
type Finding struct {
	Check    string   `json:"check"`
	Severity Severity `json:"severity"`
	Evidence string   `json:"evidence"`         // what was seen
	Remedy   []string `json:"remedy,omitempty"` // what to type or to change, in order
}

// Report is the outcome of all checks, in the order in which they ran.
type Report struct {
	Time     time.Time `json:"time"` // at which the checks began
	Version  string    `json:"version"`
	Node     string    `json:"node"`
	Kernel   string    `json:"kernel"`
	Findings []Finding `json:"findings"`
}

// Add appends a finding.
func (r *Report) Add(check string, s Severity, remedy []string, format string, args ...any) {
	r.Findings = append(r.Findings, Finding{Check: check, Severity: s, Evidence: fmt.Sprintf(format, args...), Remedy: remedy})
}

// Worst returns the highest severity.
func (r *Report) Worst() Severity {
	worst := OK
	for i := range r.Findings {
		worst = max(worst, r.Findings[i].Severity)
	}
	return worst
}

// ExitCode returns 2 with an error, 1 with a warning, else 0.
func (r *Report) ExitCode() int { return max(int(r.Worst())-int(Unknown), 0) }

// Text returns a line for each finding, with its remedy below, and a summary.
func (r *Report) Text() string {
	var b strings.Builder
	width, counts := 0, map[Severity]int{}
	for i := range r.Findings {
		width = max(width, len(r.Findings[i].Check))
	}
	for i := range r.Findings {
		f := &r.Findings[i]
		counts[f.Severity]++
		fmt.Fprintf(&b, "%-7s  %-*s  %s\n", f.Severity, width, f.Check, f.Evidence)
		for _, line := range f.Remedy {
			fmt.Fprintf(&b, "%-7s  %-*s    -> %s\n", "", width, "", line)
		}
	}
	fmt.Fprintf(&b, "%s: %d errors, %d warnings, %d unknown, %d ok\n", r.Node, counts[Error], counts[Warning], counts[Unknown], counts[OK])
	return b.String()
}
