// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package parts

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"fairlead/bench/rig"
)

// Wire is the part "watch traffic".
type Wire struct{}

// Part measures what the API server sends one node for one change, and computes what that
// is for a large cluster.
func (w Wire) Part(budget time.Duration) Part {
	return Part{Name: "watch traffic", Budget: budget, Do: w.run}
}

// The cluster for which the costs are computed.
const (
	largeNodes     = 15_000
	largeEndpoints = 1_000_000
	sliceSize      = 100      // as the endpointslice controller fills them
	podChanges     = 3        // of a slice for one pod that is replaced: terminating, gone, new and ready
	wireSpeed      = 10e9 / 8 // bytes per second of one API server
)

func (w Wire) run(ctx context.Context, r *Run) error {
	encodings := rig.Encodings()
	names := slices.Sorted(maps.Keys(encodings))
	sizes := []int{1, 10, sliceSize, 1000}
	bytes := map[string]map[int]float64{}
	var out strings.Builder
	out.WriteString("### Watch traffic\n\nBytes that the API server sends one watch for one changed endpoint: the whole slice.\n\n| endpoints of the slice |")
	for _, e := range names {
		fmt.Fprintf(&out, " %s |", e)
		bytes[e] = map[int]float64{}
	}
	out.WriteString("\n|--:|" + strings.Repeat("--:|", len(names)) + "\n")
	for _, n := range sizes {
		fmt.Fprintf(&out, "| %d |", n)
		for _, e := range names {
			b, err := r.Rig.Wire(ctx, n, encodings[e])
			if err != nil {
				return err
			}
			bytes[e][n] = float64(b)
			fmt.Fprintf(&out, " %d |", b)
		}
		out.WriteString("\n")
	}
	out.WriteString(largeCluster(names, func(e string) float64 { return bytes[e][sliceSize] }))
	r.Sections = append(r.Sections, out.String())
	r.Progress("one change of a slice of %d endpoints is %.0f bytes as Protobuf", sliceSize, bytes["Protobuf"][sliceSize])
	return nil
}

// largeCluster is the table for the large cluster; bytes are those of one change.
func largeCluster(encodings []string, bytes func(string) float64) string {
	var out strings.Builder
	fmt.Fprintf(&out, "\nComputed from the slice of %d endpoints, for a cluster of %d nodes and %d endpoints. A pod that is\n"+
		"replaced changes its slice %d times.\n\n| |", sliceSize, largeNodes, largeEndpoints, podChanges)
	for _, e := range encodings {
		fmt.Fprintf(&out, " %s |", e)
	}
	out.WriteString("\n|---|" + strings.Repeat("--:|", len(encodings)) + "\n")
	const slices = largeEndpoints / sliceSize
	for _, row := range []struct {
		name string
		of   func(one float64) string
	}{
		{"one change, to all nodes", func(one float64) string { return fmt.Sprintf("%.0f MB", one*largeNodes/1e6) }},
		{"100 changes per second, to one node", func(one float64) string { return fmt.Sprintf("%.1f MB/s", one*100/1e6) }},
		{"100 changes per second, to all nodes", func(one float64) string { return fmt.Sprintf("%.1f GB/s", one*100*largeNodes/1e9) }},
		{"changes per second that fill one API server's 10 Gbit/s", func(one float64) string { return fmt.Sprintf("%.1f", wireSpeed/(one*largeNodes)) }},
		{"all pods replaced, to one node", func(one float64) string { return fmt.Sprintf("%.0f GB", one*podChanges*largeEndpoints/1e9) }},
		{"the same with three API servers at 10 Gbit/s takes", func(one float64) string {
			return fmt.Sprintf("%.0f h", one*podChanges*largeEndpoints*largeNodes/(3*wireSpeed)/3600)
		}},
		{"list of all slices, to one node", func(one float64) string { return fmt.Sprintf("%.0f MB", one*slices/1e6) }},
		{"the same to all nodes, after an outage", func(one float64) string { return fmt.Sprintf("%.1f TB", one*slices*largeNodes/1e12) }},
	} {
		fmt.Fprintf(&out, "| %s |", row.name)
		for _, e := range encodings {
			fmt.Fprintf(&out, " %s |", row.of(bytes(e)))
		}
		out.WriteString("\n")
	}
	return out.String()
}
