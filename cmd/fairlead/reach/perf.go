// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package reach

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"fairlead/cmd/fairlead/output"
	"fairlead/cmd/fairlead/reach/plan"
)

// PerfReport is what a measurement found.
type PerfReport struct {
	Client string         `json:"client"` // the node of the client
	Server string         `json:"server"` // the other node
	Paths  []plan.Figures `json:"paths"`
}

// Perf measures the first two nodes that take part. It makes and removes what it needs as
// Run does.
func Perf(ctx context.Context, opts Options, duration time.Duration, progress Progress) (*PerfReport, error) {
	if duration < time.Second {
		return nil, fmt.Errorf("--duration: %s is less than a second", duration)
	}
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	api, err := opts.client()
	if err != nil {
		return nil, err
	}
	t := &test{opts: opts, api: api, progress: progress, stale: stale, duration: duration}
	checks, err := t.run(ctx)
	if err == nil && checks.Failed > 0 {
		c := &checks.Checks[0]
		err = fmt.Errorf("%s: %s", c.What, c.Problem)
	}
	if err == nil && len(t.figures) == 0 {
		err = errors.New("the client measured nothing")
	}
	if err != nil {
		return nil, err
	}
	r := &PerfReport{Client: t.world.Nodes[0].Name, Paths: t.figures}
	if len(t.world.Nodes) > 1 {
		r.Server = t.world.Nodes[1].Name
	}
	return r, nil
}

// Print writes a row for each path, with what it is of the direct one.
func (r *PerfReport) Print(out io.Writer, _ bool) error {
	t := output.Table{Titles: []string{"SERVER", "VIA", "CONNECTIONS/S", "P50", "P99", "THROUGHPUT", "FAILED"}}
	var direct plan.Figures
	for _, f := range r.Paths {
		if f.Via == "pod address" {
			direct = f
		}
		t.Add(f.Server, f.Via,
			strconv.Itoa(int(f.Connections))+ratio(f.Connections, direct.Connections),
			round(f.P50)+ratio(float64(f.P50), float64(direct.P50)),
			round(f.P99)+ratio(float64(f.P99), float64(direct.P99)),
			strconv.Itoa(int(f.Bytes/1e6))+" MB/s"+ratio(f.Bytes, direct.Bytes), strconv.Itoa(f.Failed))
	}
	if err := t.Print(out, true); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "\nThe client is a pod on %s; the other node is %s. In brackets: compared with the pod's own address.\n",
		output.Clean(r.Client), output.Clean(r.Server))
	return err
}

func ratio(v, of float64) string {
	if of == 0 || v == of {
		return ""
	}
	return fmt.Sprintf(" (%.0f%%)", 100*v/of)
}

func round(d time.Duration) string { return d.Round(10 * time.Microsecond).String() }
