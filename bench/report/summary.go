// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"io"
	"strings"

	"fairlead/bench/stat"
)

// Row is a line of a summary.
type Row struct{ Part, Metric string }

// Summary writes one short table: each row at the largest size at which every peer was
// measured beside fairlead, and the name of that size in it. A row that no run measured is
// left out.
func Summary(w io.Writer, m Machine, set *stat.Set, rows []Row, peers []string) error {
	var out strings.Builder
	fmt.Fprintf(&out, "`%s` on %s: %s,\n%d CPUs, kernel %s. A ratio above 1 is in favour of fairlead; the smallest and the\n"+
		"largest round stand behind it.\n\n| | Services | %s |", m.Command, m.Date, m.Version, m.CPUs, m.Kernel, ours)
	for _, p := range peers {
		fmt.Fprintf(&out, " %s | ratio |", p)
	}
	out.WriteString("\n|---|--:|--:|" + strings.Repeat("--:|--:|", len(peers)) + "\n")
	for _, row := range rows {
		size, ok := common(set, row, peers)
		if !ok {
			continue
		}
		mine := set.Of(stat.Key{Part: row.Part, Metric: row.Metric, Subject: ours, Services: size})
		unit := mine[0].Unit
		fmt.Fprintf(&out, "| %s | %d | %s |", row.Metric, size, value(stat.Summarize(mine).Median, unit))
		for _, p := range peers {
			theirs := set.Of(stat.Key{Part: row.Part, Metric: row.Metric, Subject: p, Services: size})
			s := stat.Summarize(theirs)
			s.N = min(s.N, 1) // without the quartiles
			fmt.Fprintf(&out, " %s | %s |", spread(s, unit), ratio(Favour(mine, theirs, unit)))
		}
		out.WriteString("\n")
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// common is the largest size at which fairlead and as many peers as at any size were
// measured.
func common(set *stat.Set, row Row, peers []string) (size int, ok bool) {
	most := 0
	for _, n := range set.Sizes(row.Part) {
		if len(set.Of(stat.Key{Part: row.Part, Metric: row.Metric, Subject: ours, Services: n})) == 0 {
			continue
		}
		count := 0
		for _, p := range peers {
			if len(set.Of(stat.Key{Part: row.Part, Metric: row.Metric, Subject: p, Services: n})) > 0 {
				count++
			}
		}
		if count >= most {
			size, most, ok = n, count, true
		}
	}
	return size, ok
}
