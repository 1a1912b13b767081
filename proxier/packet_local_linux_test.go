// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"testing"

	"fairlead/internal/lab"
	"fairlead/internal/lab/labtest"
	"fairlead/proxier/resolve"
)

// TestPacketDetectors tells pods from others in each of the ways there are: a
// pod's connection to a ClusterIP is not masqueraded, and policy Local does not
// bind it.
func TestPacketDetectors(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		link lab.PodLink
		set  func(*resolve.Config)
		// far is what becomes of a pod of the other node that dials here.
		far string
	}{
		{"cluster CIDR", lab.PTP, func(*resolve.Config) {}, "here -"},
		{"node CIDR", lab.PTP, func(c *resolve.Config) { c.ClusterCIDRs, c.LocalMode = nil, resolve.LocalNodeCIDR }, "here m"},
		{"bridge", lab.Bridge, func(c *resolve.Config) { c.LocalMode, c.BridgeInterface = resolve.LocalBridgeInterface, "cni0" }, "here m"},
		{"interface prefix", lab.PTP, func(c *resolve.Config) { c.LocalMode, c.InterfaceNamePrefix = resolve.LocalInterfaceNamePrefix, "veth" }, "here m"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg := defaults()
			tt.set(&cfg)
			b := newBed(t, cfg, tt.link)
			b.apply(t, serviceObject(1), serviceObject(2, externalLocal))
			b.apply(t, sliceObjects(1, ready(b.here))...)
			b.apply(t, sliceObjects(2, ready(b.here), ready(b.there))...)
			for family := range ipFamilies {
				b.expectAll(t,
					try{b.pod(), b.frontend("ClusterIP", 1, family), "here -"},
					try{b.pod(), b.frontend("LB VIP", 2, family), "here there -"},
					try{b.pod(), b.frontend("NodePort", 2, family), "here there -"},
					try{b.itself(), b.frontend("ClusterIP", 1, family), "here m"},
					try{b.itself(), b.frontend("LB VIP", 2, family), "here there m"},
					try{b.external(), b.frontend("ClusterIP", 1, family), "here m"},
					try{b.external(), b.frontend("LB VIP", 2, family), "here -"},
					try{from(b.there.Host), b.frontend("ClusterIP", 1, family), tt.far})
			}
		})
	}
}

// TestPacketNodeCIDRChanges takes the pod CIDRs from the Node object, live.
func TestPacketNodeCIDRChanges(t *testing.T) {
	t.Parallel()
	cfg := defaults()
	cfg.ClusterCIDRs, cfg.LocalMode = nil, resolve.LocalNodeCIDR
	b := newBed(t, cfg, lab.PTP)
	b.apply(t, serviceObject(1))
	b.apply(t, sliceObjects(1, ready(b.here))...)
	for _, step := range []struct {
		node      *lab.Node
		pod, pod2 string
	}{{b.node, "here -", "here m"}, {b.other, "here m", "here -"}, {b.node, "here -", "here m"}} {
		node := nodeObject(b.node, "zone-a")
		node.Spec.PodCIDRs = nodeObject(step.node, "").Spec.PodCIDRs
		b.apply(t, node)
		for family := range ipFamilies {
			b.expectAll(t,
				try{b.pod(), b.frontend("ClusterIP", 1, family), step.pod},
				try{from(b.there.Host), b.frontend("ClusterIP", 1, family), step.pod2})
		}
	}
}

// TestPacketEstablished keeps connections alive through every verdict that new
// ones meet.
func TestPacketEstablished(t *testing.T) {
	t.Parallel()
	b := newBed(t, defaults(), lab.PTP)
	b.apply(t, serviceObject(1))
	b.apply(t, sliceObjects(1, ready(b.there))...)
	clients := []origin{b.pod(), b.external()}
	var conns []*lab.Conn
	for _, client := range clients {
		for family := range ipFamilies {
			for _, kind := range []string{"ClusterIP", "NodePort", "LB VIP", "external IP"} {
				c, err := client.host.Open(labtest.Patient(t), b.frontend(kind, 1, family))
				check(t, err)
				defer func() { _ = c.Close() }()
				conns = append(conns, c)
			}
		}
	}
	for _, step := range []struct {
		name   string
		change func(t *testing.T)
		want   string // of a new connection to the VIP from outside
	}{
		{"before", func(*testing.T) {}, "there m"},
		{"its endpoint terminates", func(t *testing.T) { t.Helper(); b.apply(t, sliceObjects(1, ready(b.here), draining(b.there))...) }, "here m"},
		{"its endpoint is removed", func(t *testing.T) { t.Helper(); b.apply(t, sliceObjects(1, ready(b.here))...) }, "here m"},
		{"all endpoints are", func(t *testing.T) { t.Helper(); b.remove(t, sliceObjects(1)...) }, "refused"},
		{"endpoints elsewhere only and policies Local", func(t *testing.T) {
			t.Helper()
			b.apply(t, serviceObject(1, externalLocal, internalLocal))
			b.apply(t, sliceObjects(1, ready(b.there))...)
		}, "timeout"},
		{"a source range for others", func(t *testing.T) { t.Helper(); b.apply(t, serviceObject(1, sourceRanges("192.0.2.0/24"))) }, "timeout"},
		{"the agent restarts", func(t *testing.T) { t.Helper(); b.restart(t, defaults()) }, "timeout"},
		{"masqueradeAll", func(t *testing.T) { t.Helper(); cfg := defaults(); cfg.MasqueradeAll = true; b.restart(t, cfg) }, "timeout"},
		{"the Service is removed, but not its port", func(t *testing.T) { t.Helper(); b.remove(t, serviceObject(1)) }, "unreachable"},
	} {
		t.Run(step.name, func(t *testing.T) {
			step.change(t)
			for _, c := range conns {
				before := c.Reply
				if r, err := c.Ask(labtest.Patient(t)); err != nil || r != before {
					t.Errorf("%s: %v, %v, want %v", c.Source(), r, err, before)
				}
			}
			b.expect(t, b.external(), b.frontend("LB VIP", 1, 0), step.want)
		})
	}
}
