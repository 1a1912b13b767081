// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"time"

	"fairlead/cmd/fairlead-lab/world"
	"fairlead/internal/inet"
	"fairlead/internal/lab"
	"fairlead/overlay"
)

// stepTunnel shows how packets get to pods on other nodes, and what the world
// outside sees of a pod.
func stepTunnel(ctx context.Context, d *demo) error {
	d.reachPods(ctx)
	if err := d.capture(ctx); err != nil {
		return err
	}
	return d.egress(ctx)
}

// reachPods dials every pod by its own address, without any Service.
func (d *demo) reachPods(ctx context.Context) {
	for i, vip := range d.Web.ClusterIPs {
		reached := 0
		for _, e := range d.Web.Endpoints {
			at := inet.Addr{IP: e.Pod.Addrs()[i], Port: world.WebPort, Proto: inet.TCP}
			reply, err := d.Client.Dial(ctx, at)
			if err == nil && reply.Server == e.Pod.Name && reply.Source.Addr() == d.Client.Addrs()[i] {
				reached++
			}
		}
		d.check(reached == len(d.Web.Endpoints), "client reaches %d of %d pods directly over %s, on its own node and on others; they see its own address",
			reached, len(d.Web.Endpoints), family(vip))
	}
}

// capture looks at a packet between two pods while it is on its way between their
// nodes.
func (d *demo) capture(ctx context.Context) error {
	if d.Overlay != overlay.VXLAN.String() {
		return nil
	}
	from, to := d.Cluster.Nodes[0], d.Web.Endpoints[1%len(d.Web.Endpoints)].Pod
	if to.Node == from {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	done := make(chan struct{})
	dial := func() {
		go func() {
			defer close(done)
			_, _ = d.Client.Dial(ctx, inet.Addr{IP: to.Addr4, Port: world.WebPort, Proto: inet.TCP})
		}()
	}
	seen, err := from.CaptureTunnelled(ctx, "eth0", overlay.DefaultPort, dial, func(t lab.Tunnelled) bool {
		return t.InnerSrc == d.Client.Addr4 && t.InnerDst == to.Addr4
	})
	if err != nil {
		d.check(false, "no packet from client to %s was seen in a tunnel: %v", to.Name, err)
		return nil
	}
	<-done
	d.check(seen.Src.Addr() == from.Addr4 && seen.Dst.Addr() == to.Node.Addr4 && seen.VNI == overlay.DefaultVNI,
		"on the wire: %s > %s UDP, VXLAN network %d, inside it %s > %s", seen.Src.Addr(), seen.Dst, seen.VNI, seen.InnerSrc, seen.InnerDst)
	return nil
}

// egress lets a pod dial a server outside, which must see the pod's node: nobody
// out there knows the way to a pod.
func (d *demo) egress(ctx context.Context) error {
	server, err := d.Cluster.Outside.Serve(inet.TCP, world.WebPort)
	if err != nil {
		return err
	}
	defer func() { _ = server.Close() }()
	node := d.Client.Node
	for i, ip := range d.Cluster.Outside.Addrs() {
		reply, err := d.Client.Dial(ctx, inet.Addr{IP: ip, Port: world.WebPort, Proto: inet.TCP})
		d.check(err == nil && reply.Source.Addr() == node.Addrs()[i], "client   -> outside   %-26s %s", reply.Source.Addr(), lab.Outcome(reply, err))
	}
	return nil
}
