// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"fmt"
	"net/netip"

	"fairlead/internal/worker"
	"fairlead/overlay/probe"
)

// probePeers reports peers whose packets do not come back through the tunnel, until ctx
// is done.
func (n *Network) probePeers(ctx context.Context) error {
	if !worker.Await(ctx, readyInterval, n.podsReady) {
		return nil
	}
	return probe.Run(ctx, probe.Options{
		Interval: n.cfg.ProbePeers, Own: n.vteps, Peers: n.probed,
		Report: func(lost []probe.Lost) {
			n.setLost(lost)
			texts := make([]string, len(lost))
			for i, l := range lost {
				texts[i] = fmt.Sprintf("node %s (%s) did not answer 3 or more packets in a row through the tunnel: check that UDP port %d is open both ways and that NATs in between keep or announce the nodes' addresses",
					l.Node, l.Addr, n.proxy.Overlay.WithDefaults().Port)
			}
			n.store.Book().NodeReport(n.proxy.NodeName, "peers", texts)
		},
	})
}

// vteps returns this node's VTEP addresses.
func (n *Network) vteps() []netip.Addr {
	if r := n.report.Load(); r != nil {
		return r.VTEPs
	}
	return nil
}

// probed returns the VTEP addresses of all other nodes: the first of each pod CIDR.
func (n *Network) probed() []probe.Peer {
	var out []probe.Peer
	for _, o := range n.store.Nodes() {
		if o.Name == n.proxy.NodeName || o.Leaving {
			continue
		}
		for _, cidr := range o.PodCIDRs {
			out = append(out, probe.Peer{Node: o.Name, Addr: cidr.Masked().Addr()})
		}
	}
	return out
}
