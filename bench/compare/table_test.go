// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package compare

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// table prints the results in Markdown, one column for each subject.
func table(services, backends int, watch []time.Duration, subjects []subject, results []result) string {
	var out strings.Builder
	fmt.Fprintf(&out, "\n%d Services x %d endpoints, %d updates, %d CPUs; a bare watch sees an update after %s\n\n",
		services, backends, len(results[0].latency), runtime.NumCPU(), short(percentile(watch, 50)))
	row := func(what string, value func(result) string) {
		fmt.Fprintf(&out, "| %s |", what)
		for _, r := range results {
			fmt.Fprintf(&out, " %s |", value(r))
		}
		out.WriteString("\n")
	}
	names, rule := "| |", "|---|"
	for _, s := range subjects {
		names, rule = names+" "+s.name+" |", rule+"---|"
	}
	fmt.Fprintf(&out, "%s\n%s\n", names, rule)
	row("EndpointSlice update to first connection, p50", func(r result) string { return short(percentile(r.latency, 50)) })
	row("the same, p95", func(r result) string { return short(percentile(r.latency, 95)) })
	row("processor time of one update", func(r result) string { return short(r.cpuUpdate) })
	row("start of the process to all Services reached", func(r result) string { return short(r.firstSync) })
	row("resident memory", func(r result) string { return fmt.Sprintf("%d MB", r.resident>>20) })
	row("its peak", func(r result) string { return fmt.Sprintf("%d MB", r.peak>>20) })
	return out.String()
}

// percentile of a sorted list, by the nearest rank.
func percentile(sorted []time.Duration, p int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[max(0, (len(sorted)*p+99)/100-1)]
}

func short(d time.Duration) string {
	switch {
	case d >= 10*time.Second:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d >= time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d >= 10*time.Millisecond:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	default:
		return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
	}
}

func TestTable(t *testing.T) {
	ms := func(list ...int) (out []time.Duration) {
		for _, n := range list {
			out = append(out, time.Duration(n)*time.Millisecond)
		}
		return out
	}
	got := table(10, 2, ms(2), []subject{{name: "a"}, {name: "b"}}, []result{
		{latency: ms(1, 2, 3, 4), firstSync: 1500 * time.Millisecond, resident: 50 << 20},
		{latency: ms(7000, 7100, 7200, 20000), firstSync: 24 * time.Second, cpuUpdate: 12 * time.Millisecond, peak: 1 << 30},
	})
	want := fmt.Sprintf(`
10 Services x 2 endpoints, 4 updates, %d CPUs; a bare watch sees an update after 2.0 ms

| | a | b |
|---|---|---|
| EndpointSlice update to first connection, p50 | 2.0 ms | 7.1 s |
| the same, p95 | 4.0 ms | 20 s |
| processor time of one update | 0.0 ms | 12 ms |
| start of the process to all Services reached | 1.5 s | 24 s |
| resident memory | 50 MB | 0 MB |
| its peak | 0 MB | 1024 MB |
`, runtime.NumCPU())
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
}
