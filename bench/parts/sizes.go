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
	tiny := Amount{Connections: 50, Requests: 50, Bytes: 1 << 20}
	return []Part{
		Latency{Name: "latency", Shapes: shapes(30), Rounds: times(1), Updates: times(2), Repair: 2 * time.Second}.Part(2 * time.Minute),
		Load{Shape: shapes(30)[0], Rounds: 1, Updates: 2, Others: 20, Huge: 500}.Part(2 * time.Minute),
		Flows{Shapes: shapes(1), Rounds: 2, Amount: tiny}.Part(time.Minute),
		Overlay{Joins: 1, Rounds: 2, Amount: tiny, Packets: 500}.Part(2 * time.Minute),
		Chains{Shape: shapes(30)[0], Rounds: 2, Packets: 1000}.Part(time.Minute),
		Wire{}.Part(time.Minute),
		Storm{Shape: shapes(30)[0], Rounds: 1, PerSecond: 100, Lasts: 3 * time.Second}.Part(time.Minute),
		Joins{Rounds: 1, Nodes: 50, PerSecond: 50, Every: 10}.Part(time.Minute),
	}
}

// Short is what fits into a quarter of an hour on two cores.
func Short() []Part {
	// Many short turns: the machine is faster and slower for seconds at a time, and a round has to see one of them.
	turn := Amount{Connections: 250, Requests: 1000, Bytes: 24 << 20}
	return []Part{
		Wire{}.Part(10 * time.Second),
		Latency{Name: "latency", Shapes: shapes(100, 1000, 10000), Rounds: times(2), Updates: large(3, 2), Repair: 4 * time.Second}.Part(8 * time.Minute),
		Load{Shape: shapes(1000)[0], Rounds: 2, Updates: 3, Others: 100, Huge: 5000}.Part(100 * time.Second),
		Overlay{Joins: 2, Rounds: 60, Amount: turn, Packets: 4000}.Part(50 * time.Second),
		Chains{Shape: shapes(100)[0], Rounds: 50, Packets: 4000}.Part(30 * time.Second),
		Flows{Shapes: shapes(1, 1000), Rounds: 30, Amount: turn}.Part(2 * time.Minute),
	}
}

// Full takes hours.
func Full() []Part {
	turn := Amount{Connections: 1000, Requests: 10000, Bytes: 256 << 20}
	return []Part{
		Wire{}.Part(time.Minute),
		Latency{Name: "latency", Shapes: shapes(100, 300, 1000, 3000, 10000, 30000), Rounds: large(5, 3), Updates: times(6), Repair: 40 * time.Second}.Part(90 * time.Minute),
		Load{Shape: shapes(10000)[0], Rounds: 3, Updates: 6, Others: 100, Huge: 10000}.Part(30 * time.Minute),
		Overlay{Joins: 10, Rounds: 50, Amount: turn, Packets: 20_000}.Part(10 * time.Minute),
		Chains{Shape: shapes(1000)[0], Rounds: 40, Packets: 200_000}.Part(10 * time.Minute),
		Flows{Shapes: shapes(1, 1000, 10000), Rounds: 30, Amount: turn}.Part(20 * time.Minute),
		Latency{
			Name: "scale", Shaped: true, Rounds: times(2), Updates: times(5), Repair: 10 * time.Second,
			Subjects: []rig.Subject{rig.FairleadAgent(), rig.KubeProxy("nftables")},
			Shapes:   []rig.Shape{{Services: 100, Endpoints: 1000}, {Services: 1, Endpoints: 65000}, {Services: 30000, Endpoints: 1}, {Services: 44000, Endpoints: 1}},
		}.Part(time.Hour),
		Storm{Shape: shapes(10000)[0], Rounds: 3, PerSecond: 1700, Lasts: time.Minute}.Part(20 * time.Minute),
		Joins{Rounds: 3, Nodes: 5000, PerSecond: 90, Every: 50}.Part(15 * time.Minute),
	}
}

func times(n int) func(rig.Shape) int { return func(rig.Shape) int { return n } }

// large returns another number from 10,000 Services on.
func large(below, from int) func(rig.Shape) int {
	return func(s rig.Shape) int {
		if s.Services >= 10000 {
			return from
		}
		return below
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

// Charts compare metrics of one size.
func Charts() []report.Chart {
	return []report.Chart{
		{File: "fairness", Title: "Update of a small Service", Part: "fairness", Prefix: "update ", Axis: "ms", Unit: 1e-3, Decades: true},
		{File: "connections", Title: "Connections per second", Part: flowsPart, Prefix: "connections ", Axis: "1/s", Unit: 1},
		{File: "overlay", Title: "Connections per second between nodes", Part: overlayPart, Prefix: "connections ", Axis: "1/s", Unit: 1},
	}
}

// Capacity are the columns of the table of what fairlead takes on one node.
func Capacity() []report.Column {
	return []report.Column{
		{Metric: Resident, Name: "resident memory"}, {Metric: Peak, Name: "its peak, start"}, {Metric: RestartPeak, Name: "its peak, restart"},
		{Metric: ColdStart, Name: "start"}, {Metric: UpdateCPU, Name: "processor time of one change"},
	}
}

// Summary is what the first page shows, and beside whom.
func Summary() (rows []report.Row, peers []string) {
	for _, m := range []string{Update, UpdateCPU, ColdStart, Restart, Resident, Peak, Repair} {
		rows = append(rows, report.Row{Part: "latency", Metric: m})
	}
	return rows, []string{rig.NFTables, rig.IPTables}
}
