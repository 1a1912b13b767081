// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"fmt"
	"time"
)

// stepCluster shows what was built.
func stepCluster(_ context.Context, d *demo) error {
	d.Print(d.out)
	if d.Cluster.Config.Subnets {
		d.say("Each node has a subnet of its own, with a router between them that knows no pods.")
	}
	return nil
}

// stepAgents starts the agents and waits until each of them serves.
func stepAgents(ctx context.Context, d *demo) error {
	start := time.Now()
	for _, node := range d.Cluster.Nodes {
		if err := d.StartAgent(node); err != nil {
			return err
		}
		d.say("%s: fairlead run --manifests %s --node-name %s ... (process %d)", node.Name, d.Manifests, node.Name, d.Agents[node.Name].Pid())
	}
	d.say("web.yaml: ClusterIP %s, port %d, nodePort %d, %d endpoints per family", words(d.Web.ClusterIPs), d.Web.Port, d.Web.NodePort, len(d.Web.Endpoints))
	if err := d.WaitAgents(ctx, d.Web); err != nil {
		return err
	}
	d.check(true, "%d agents serve web, %s after they were started", len(d.Agents), since(start))
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
