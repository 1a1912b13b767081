// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"time"

	"fairlead/cmd/fairlead-lab/world"
	"fairlead/internal/inet"
	"fairlead/internal/lab"
)

// stepRefuse adds a Service that nobody stands behind. Its clients are told at
// once instead of being left to wait.
func stepRefuse(ctx context.Context, d *demo) error {
	idle := world.Service{Name: "idle", Port: 80, NodePort: 30081, TargetPort: world.WebPort, ClusterIPs: world.VIPs(d.Cluster.Config, 20)}
	if err := d.Write(idle); err != nil {
		return err
	}
	d.say("idle.yaml: ClusterIP %s, nodePort %d, no endpoints", words(idle.ClusterIPs), idle.NodePort)
	node := d.Cluster.Nodes[len(d.Cluster.Nodes)-1]
	for _, vip := range idle.ClusterIPs {
		nodePort := d.nodePort(node, vip)
		nodePort.Port = idle.NodePort
		d.refuse(ctx, d.Client.Host, "ClusterIP", idle.At(vip))
		d.refuse(ctx, d.Cluster.Outside, "NodePort", nodePort)
	}
	return nil
}

// refuse checks that a connection is refused, as soon as the agents have read
// the file.
func (d *demo) refuse(ctx context.Context, from *lab.Host, kind string, at inet.Addr) {
	var outcome string
	var took time.Duration
	err := world.Poll(ctx, soon, func() bool {
		// A packet that was sent before the agent knew is lost; its client would
		// wait for a second, the next one does not.
		try, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
		defer cancel()
		start := time.Now()
		outcome = from.Try(try, at)
		took = time.Since(start)
		return outcome == lab.ErrRefused.Error()
	}, "it must be refused")
	d.check(err == nil, "%-8s -> %-9s %-26s %s after %s", from.Name, kind, at.AddrPort(), outcome, milliseconds(took))
}
