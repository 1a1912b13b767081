// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package parts

import (
	"time"

	"fairlead/bench/report"
	"fairlead/bench/rig"
)

// endpoints of each Service, as in the issue reports that others wrote about kube-proxy.
const endpoints = 10

func shapes(services ...int) (out []rig.Shape) {
	for _, n := range services {
		out = append(out, rig.Shape{Services: n, Endpoints: endpoints})
	}
	return out
}

// Smoke is a small run that says whether everything still works.
func Smoke() []Part {
	return []Part{
		Latency{Shapes: shapes(30), Rounds: times(1), Updates: 2, Repair: 2 * time.Second}.Part(2 * time.Minute),
		Load{Shape: shapes(30)[0], Rounds: 1, Updates: 2, Others: 20, Huge: 500}.Part(2 * time.Minute),
	}
}

// Short is what fits into a quarter of an hour on two cores.
func Short() []Part {
	return []Part{
		Latency{Shapes: shapes(100, 1000, 10000), Rounds: times(2), Updates: 4, Repair: 8 * time.Second}.Part(9 * time.Minute),
		Load{Shape: shapes(1000)[0], Rounds: 2, Updates: 4, Others: 100, Huge: 5000}.Part(4 * time.Minute),
	}
}

// Full takes hours.
func Full() []Part {
	return []Part{
		Latency{Shapes: shapes(100, 300, 1000, 3000, 10000, 30000), Rounds: fewer(5, 3), Updates: 6, Repair: 40 * time.Second}.Part(90 * time.Minute),
		Load{Shape: shapes(10000)[0], Rounds: 3, Updates: 6, Others: 100, Huge: 10000}.Part(30 * time.Minute),
	}
}

func times(n int) func(rig.Shape) int { return func(rig.Shape) int { return n } }

// fewer returns many rounds for small sizes, and few from 10,000 Services on.
func fewer(many, few int) func(rig.Shape) int {
	return func(s rig.Shape) int {
		if s.Services >= 10000 {
			return few
		}
		return many
	}
}

// Figures are the plots of a run.
func Figures() []report.Figure {
	return []report.Figure{
		{File: "update", Title: "EndpointSlice update to first connection", Part: "latency", Metric: Update, Axis: "ms", Unit: 1e-3},
		{File: "start", Title: "Start with an empty kernel until all Services answer", Part: "latency", Metric: ColdStart, Axis: "s", Unit: 1},
		{File: "restart", Title: "Restart until a change is served", Part: "latency", Metric: Restart, Axis: "s", Unit: 1},
		{File: "memory", Title: "Peak resident memory", Part: "latency", Metric: Peak, Axis: "MiB", Unit: 1 << 20},
		{File: "cpu", Title: "Processor time of one update", Part: "latency", Metric: UpdateCPU, Axis: "ms", Unit: 1e-3},
		{File: "repair", Title: "Flush of the ruleset until a connection is served", Part: "latency", Metric: Repair, Axis: "s", Unit: 1},
	}
}
