// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"time"
)

// A step is one scene of the demo. What it prints is what was done and what was
// seen; an error ends the demo, because the next step would make no sense.
type step struct {
	title string
	run   func(context.Context, *demo) error
}

// scenario returns the steps in their order. Each has a file of its own.
func scenario() []step {
	return []step{
		{"A cluster comes up: nodes, pods and a client outside, each in a namespace of its own", stepCluster},
		{"An agent starts on each node and finds the Service web in a YAML file", stepAgents},
		{"Packets between nodes travel in tunnels, those to the world under the node's address", stepTunnel},
		{"The Service answers under every address, from everywhere", stepReach},
		{"Connections spread evenly over the pods", stepSpread},
		{"A pod joins the Service", stepJoin},
		{"All pods are replaced, one after the other, under load", stepRollout},
		{"A UDP client and a sticky client outlive their pods", stepClients},
		{"A node leaves and another joins, under load", stepNodes},
		{"An agent is killed and started again", stepRestart},
		{"Somebody flushes all of nftables", stepRepair},
		{"A Service without pods refuses", stepRefuse},
		{"The table, as nft prints it", stepTable},
	}
}

// demo runs the scenario and counts what was checked.
type demo struct {
	*world
	out            io.Writer
	podsMade       int // pods of web so far, for their names
	passed, failed int
}

// runDemo plays the scenario to its end, or to the first step that cannot go on.
// It rests for a while before each step.
func runDemo(ctx context.Context, w *world, out io.Writer, pace time.Duration) error {
	d := &demo{world: w, out: out, podsMade: len(w.web.Endpoints)}
	start := time.Now()
	steps := scenario()
	for i, s := range steps {
		if i > 0 {
			pause(ctx, pace)
		}
		fmt.Fprintf(out, "\n[%d/%d] %s\n", i+1, len(steps), s.title)
		if err := s.run(ctx, d); err != nil {
			d.check(false, "the step ends early: %v", err)
			break
		}
	}
	fmt.Fprintf(out, "\n%.0f seconds. Everything is taken down again.\n", time.Since(start).Seconds())
	fmt.Fprintf(out, "demo: %d checks passed, %d failed\n", d.passed, d.failed)
	if d.failed > 0 {
		return errChecks
	}
	return nil
}

// pause waits for a while, or for the end.
func pause(ctx context.Context, pace time.Duration) {
	select {
	case <-time.After(pace):
	case <-ctx.Done():
	}
}

// say prints what was done or seen.
func (d *demo) say(format string, args ...any) {
	fmt.Fprintf(d.out, "  "+format+"\n", args...)
}

// check prints and counts something that must be so.
func (d *demo) check(ok bool, format string, args ...any) {
	word := "ok  "
	if ok {
		d.passed++
	} else {
		d.failed++
		word = "FAIL"
	}
	fmt.Fprintf(d.out, "  "+word+"  "+format+"\n", args...)
}
