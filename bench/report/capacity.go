// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"strings"

	"fairlead/bench/stat"
)

// Column is a metric of the capacity table with the name that it has there.
type Column struct{ Metric, Name string }

// Capacity is a table of what fairlead takes on one node, with a line for each part and
// size that has the first column. It is "" if there is none.
func Capacity(set *stat.Set, columns []Column) string {
	var out strings.Builder
	for _, part := range parts(set) {
		for _, size := range set.Sizes(part) {
			of := func(metric string) []stat.Sample {
				return set.Of(stat.Key{Part: part, Metric: metric, Subject: ours, Services: size})
			}
			if len(of(columns[0].Metric)) == 0 {
				continue
			}
			fmt.Fprintf(&out, "| %s, %d Services |", part, size)
			for _, c := range columns {
				list := of(c.Metric)
				if len(list) == 0 {
					out.WriteString(" - |")
					continue
				}
				fmt.Fprintf(&out, " %s |", value(stat.Summarize(list).Median, list[0].Unit))
			}
			out.WriteString("\n")
		}
	}
	if out.Len() == 0 {
		return ""
	}
	head := new(strings.Builder)
	head.WriteString("### Capacity: what fairlead takes on one node\n\n| |")
	for _, c := range columns {
		head.WriteString(" " + c.Name + " |")
	}
	return head.String() + "\n|---|" + strings.Repeat("--:|", len(columns)) + "\n" + out.String()
}
