// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"fmt"
	"slices"
	"time"

	"k8s.io/klog/v2"

	"fairlead/proxier/objects"
)

const (
	// peersPause is the time between two groups of lines about peers that come and go.
	// Those that come meanwhile share a line.
	peersPause = 5 * time.Second
	// peersNamed is how many peers a line names.
	peersNamed = 5
)

// logPeers logs which peers join, move and leave after each pass of the overlay, until ctx
// is done.
func (n *Network) logPeers(ctx context.Context) error {
	known := map[string]string{}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-n.peers:
		}
		now := n.peersNow()
		logPeerChanges(klog.FromContext(ctx), known, now)
		known = now
		pause := time.NewTimer(peersPause)
		select {
		case <-ctx.Done():
			pause.Stop()
			return nil
		case <-pause.C:
		}
	}
}

// peersNow returns where each other node with pods is, by name.
func (n *Network) peersNow() map[string]string {
	out := map[string]string{}
	for _, o := range n.store.Nodes() {
		if o.Name != n.proxy.NodeName && !o.Leaving && len(o.PodCIDRs) > 0 {
			out[o.Name] = whereabouts(o)
		}
	}
	return out
}

func whereabouts(n *objects.Node) string { return fmt.Sprintf("%v for %v", n.Underlay, n.PodCIDRs) }

// logPeerChanges logs at most one line for each kind of change.
func logPeerChanges(log klog.Logger, known, now map[string]string) {
	var joined, moved, left []string
	for name, where := range now {
		switch was, old := known[name]; {
		case !old:
			joined = append(joined, name)
		case was != where:
			moved = append(moved, name)
		}
	}
	for name := range known {
		if _, stays := now[name]; !stays {
			left = append(left, name)
		}
	}
	line := func(what string, names []string, at map[string]string) {
		switch slices.Sort(names); len(names) {
		case 0:
		case 1:
			log.Info("Overlay peer "+what, "node", names[0], "at", at[names[0]], "peers", len(now))
		default:
			log.Info("Overlay peers "+what, "count", len(names), "first", names[:min(len(names), peersNamed)], "peers", len(now))
		}
	}
	line("joined", joined, now)
	line("moved", moved, now)
	line("left", left, known)
}
