// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"fairlead/bench/stat"
)

// Machine says where and how a run was made.
type Machine struct {
	Date, Kernel, CPU, Command, Version string
	CPUs                                int
	Load                                string // the load average when the run began
	Took                                string
}

// Markdown writes the tables of a run. Notes are sentences that stand above them, and
// sections are Markdown that stands below; empty ones are left out.
func Markdown(w io.Writer, m Machine, set *stat.Set, notes, sections []string) error {
	var out strings.Builder
	fmt.Fprintf(&out, "`%s` on %s: %s, %d CPUs (%s), kernel %s, load average %s at the start, took %s.\n",
		m.Command, m.Date, m.Version, m.CPUs, m.CPU, m.Kernel, m.Load, m.Took)
	out.WriteString("Each cell has the median and the quartiles of all samples. A ratio is the median over the rounds,\n" +
		"with the smallest and the largest round. A ratio above 1 is in favour of fairlead.\n")
	for _, n := range notes {
		fmt.Fprintf(&out, "\n* %s", n)
	}
	for _, v := range set.Voids {
		fmt.Fprintf(&out, "\n* %s, %d Services: the comparison with %s is void: %s", v.Part, v.Services, v.Subject, firstLine(v.Reason))
	}
	if len(notes)+len(set.Voids) > 0 {
		out.WriteString("\n")
	}
	for _, part := range parts(set) {
		for _, size := range set.Sizes(part) {
			table(&out, set, part, size)
		}
	}
	for _, s := range sections {
		if s != "" {
			out.WriteString("\n\n" + strings.TrimSpace(s) + "\n")
		}
	}
	_, err := io.WriteString(w, out.String())
	return err
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// parts returns the names of parts in the order in which they were done.
func parts(set *stat.Set) (out []string) {
	for _, x := range set.Samples {
		if !slices.Contains(out, x.Part) {
			out = append(out, x.Part)
		}
	}
	return out
}

// ours is the subject that the others are compared with.
const ours = "fairlead"

// table has one row for each metric, and for each other subject its value and ratio.
func table(out *strings.Builder, set *stat.Set, part string, services int) {
	var metrics, subjects []string
	units := map[string]string{}
	for _, x := range set.Samples {
		if x.Part != part || x.Services != services {
			continue
		}
		if !slices.Contains(metrics, x.Metric) {
			metrics = append(metrics, x.Metric)
			units[x.Metric] = x.Unit
		}
		if !slices.Contains(subjects, x.Subject) && x.Subject != ours {
			subjects = append(subjects, x.Subject)
		}
	}
	slices.Sort(subjects)
	fmt.Fprintf(out, "\n### %s, %d Services\n\n| | %s |", strings.ToUpper(part[:1])+part[1:], services, ours)
	for _, s := range subjects {
		fmt.Fprintf(out, " %s | ratio |", s)
	}
	out.WriteString("\n|---|--:|" + strings.Repeat("--:|--:|", len(subjects)) + "\n")
	for _, m := range metrics {
		mine := set.Of(stat.Key{Part: part, Metric: m, Subject: ours, Services: services})
		fmt.Fprintf(out, "| %s | %s |", m, spread(stat.Summarize(mine), units[m]))
		for _, s := range subjects {
			theirs := set.Of(stat.Key{Part: part, Metric: m, Subject: s, Services: services})
			fmt.Fprintf(out, " %s | %s |", spread(stat.Summarize(theirs), units[m]), ratio(Favour(mine, theirs, units[m])))
		}
		out.WriteString("\n")
	}
}

// Favour is the ratio of two subjects, above 1 if mine is better: rates are better when
// they are larger, and all else when it is smaller.
func Favour(mine, theirs []stat.Sample, unit string) stat.Ratio {
	if strings.HasSuffix(unit, "/s") {
		return stat.Compare(mine, theirs)
	}
	return stat.Compare(theirs, mine)
}
