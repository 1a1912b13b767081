// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package stat

import "slices"

// Sample is one measured value.
type Sample struct {
	Part     string  // of the run, such as "latency"
	Metric   string  // what was measured, such as "update"
	Unit     string  // of Value: "s", "B", "1/s", "ns"
	Subject  string  // which program, such as "fairlead"
	Services int     // how many Services there were
	Round    int     // subjects of one round are compared
	Value    float64 // measured, or the bound if AtLeast
	AtLeast  bool    // the event had not happened when waiting ended
}

// Key names what a list of samples has in common.
type Key struct {
	Part, Metric, Subject string
	Services              int
}

// Set holds all samples of a run. It is not safe for concurrent use.
type Set struct {
	Samples []Sample
	Voids   []Void
}

// Void is a subject that did not do its work: nothing may be concluded about it.
type Void struct {
	Part, Subject string
	Services      int
	Reason        string
}

// Add appends a sample.
func (s *Set) Add(x Sample) { s.Samples = append(s.Samples, x) }

// Voided reports whether the comparison with a subject is void, and why.
func (s *Set) Voided(part, subject string, services int) (string, bool) {
	for _, v := range s.Voids {
		if v.Part == part && v.Subject == subject && v.Services == services {
			return v.Reason, true
		}
	}
	return "", false
}

// Of returns the samples of a key in the order in which they were measured.
func (s *Set) Of(k Key) (out []Sample) {
	for _, x := range s.Samples {
		if (Key{x.Part, x.Metric, x.Subject, x.Services}) == k {
			out = append(out, x)
		}
	}
	return out
}

// Sizes returns the numbers of Services that a part was measured with, sorted.
func (s *Set) Sizes(part string) (out []int) {
	for _, x := range s.Samples {
		if x.Part == part {
			out = append(out, x.Services)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
