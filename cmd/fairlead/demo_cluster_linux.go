// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"time"

	"fairlead/internal/l4"
)

// stepCluster shows what was built, and that the network works without any
// Service: what fails later is not the lab's fault.
func stepCluster(ctx context.Context, d *demo) error {
	d.printCluster(d.out)
	for i := range d.web.ClusterIPs {
		reached := 0
		for _, e := range d.web.Endpoints {
			at := l4.Addr{IP: e.Pod.Addrs()[i], Port: webPort, Proto: l4.TCP}
			reply, err := d.client.Dial(ctx, at)
			if err == nil && reply.Server == e.Pod.Name {
				reached++
			}
		}
		d.check(reached == len(d.web.Endpoints), "client reaches %d of %d pods directly over %s, on its own node and on others",
			reached, len(d.web.Endpoints), family(d.web.ClusterIPs[i]))
	}
	return nil
}

// stepAgents starts the agents and waits until each of them serves.
func stepAgents(ctx context.Context, d *demo) error {
	start := time.Now()
	for _, node := range d.cluster.Nodes {
		if err := d.startAgent(node); err != nil {
			return err
		}
		d.say("%s: fairlead run --manifests %s --node-name %s ... (process %d)", node.Name, d.manifests, node.Name, d.agents[node.Name].Pid())
	}
	d.say("web.yaml: ClusterIP %s, port %d, nodePort %d, %d endpoints per family", words(d.web.ClusterIPs), d.web.Port, d.web.NodePort, len(d.web.Endpoints))
	if err := d.waitAgents(ctx, d.web); err != nil {
		return err
	}
	d.check(true, "%d agents serve web, %s after they were started", len(d.agents), since(start))
	return nil
}

// since returns the time from start to now, in milliseconds.
func since(start time.Time) string { return milliseconds(time.Since(start)) }

func milliseconds(t time.Duration) string {
	ms := float64(t.Microseconds()) / 1000
	if ms < 10 {
		return fmt.Sprintf("%.1f ms", ms)
	}
	return fmt.Sprintf("%.0f ms", ms)
}
