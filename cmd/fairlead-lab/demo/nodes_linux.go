// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"fairlead/cmd/fairlead-lab/world"
	"fairlead/internal/inet"
	"fairlead/internal/lab"
)

// stepNodes lets a node join, moves the pods of another one away and lets that
// leave, while clients keep connecting.
func stepNodes(ctx context.Context, d *demo) error {
	if len(d.Cluster.Nodes) < 3 {
		d.say("There are not enough nodes for one to leave.")
		return nil
	}
	l := d.startLoad(ctx)
	defer l.stop()
	joined, err := d.nodeJoins(ctx)
	if err != nil {
		return err
	}
	leaving := d.Cluster.Nodes[1]
	if err := d.drain(ctx, leaving, joined); err != nil {
		return err
	}
	if err := d.nodeLeaves(ctx, leaving); err != nil {
		return err
	}
	d.judge(l.stop(), "while a node joined and a node left")
	return nil
}

// nodeJoins adds a node with an agent and a pod of web.
func (d *demo) nodeJoins(ctx context.Context) (*lab.Node, error) {
	node, err := d.Cluster.AddNode()
	if err != nil {
		return nil, err
	}
	if err := d.WriteNodes(); err != nil {
		return nil, err
	}
	if err := d.StartAgent(node); err != nil {
		return nil, err
	}
	start := time.Now()
	pod, err := node.AddPod("ping")
	if err != nil {
		return nil, err
	}
	if _, err := pod.Serve(inet.TCP, world.WebPort); err != nil {
		return nil, err
	}
	err = world.Poll(ctx, 5*time.Second, func() bool {
		return d.answers(ctx, inet.Addr{IP: pod.Addr4, Port: world.WebPort, Proto: inet.TCP}, "ping")
	}, "client does not reach the pods of %s", node.Name)
	d.check(err == nil, "%s joins (%s): client reaches a pod there %s later", node.Name, node.Addr4, since(start))
	return node, pod.Close()
}

// drain replaces the pods of web on a node by others on another node.
func (d *demo) drain(ctx context.Context, from, to *lab.Node) error {
	for _, e := range slices.Clone(d.Web.Endpoints) {
		if e.Pod.Node != from {
			continue
		}
		if err := d.replaceOn(ctx, to, e, func() error { return nil }); err != nil {
			return err
		}
	}
	return nil
}

// nodeLeaves takes a node out of the cluster as a machine that is switched off.
func (d *demo) nodeLeaves(ctx context.Context, node *lab.Node) error {
	if err := d.Agents[node.Name].Signal(syscall.SIGKILL); err != nil {
		return err
	}
	delete(d.Agents, node.Name)
	if err := node.Close(); err != nil {
		return err
	}
	if err := d.WriteNodes(); err != nil {
		return err
	}
	start := time.Now()
	cidr := node.PodCIDRs[0]
	err := world.Poll(ctx, soon, func() bool {
		for _, n := range d.Cluster.Nodes {
			if has, err := hasRoute(n, cidr); err != nil || has {
				return false
			}
		}
		return true
	}, "routes to %s stay", cidr)
	d.check(err == nil, "%s is switched off and its Node deleted: no node has a route to %s any more, %s later", node.Name, cidr, since(start))
	return nil
}

// hasRoute reports whether a node has a route to a pod CIDR.
func hasRoute(n *lab.Node, cidr netip.Prefix) (bool, error) {
	routes, err := n.Netlink().RouteList(nil, 2) // AF_INET
	if err != nil {
		return false, fmt.Errorf("list routes of %s: %w", n.Name, err)
	}
	for _, r := range routes {
		if r.Dst != nil && r.Dst.String() == cidr.String() {
			return true, nil
		}
	}
	return false, nil
}
