// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nat_test

import (
	"net/netip"
	"strings"
	"testing"

	"fairlead/internal/inet"
	"fairlead/internal/lab"
	"fairlead/internal/lab/labtest"
	"fairlead/internal/netns"
	"fairlead/internal/nstest"
	"fairlead/nat"
	"fairlead/nat/kernel"
	"fairlead/nat/plan"
)

func TestMain(m *testing.M) { nstest.Main(m) }

// bed is a cluster of namespaces whose first node has the table. Real packets
// go through it.
//
//	outside ─── fabric ─── node-1 (the table) ─── client, web
//	                  └─── node-2             ─── there
//
// The fabric knows the way to the pods of node-1, so that a connection works
// whether it is masqueraded or not.
type bed struct {
	*lab.Cluster
	node, other *lab.Node
	client, web *lab.Pod
	there       *lab.Pod

	table *kernel.Table
	state *plan.State
}

// second are further addresses of node-1.
var second = [2]netip.Addr{netip.MustParseAddr("192.168.60.1"), netip.MustParseAddr("fd00:60::1")}

var (
	protos     = []inet.Proto{inet.TCP, inet.UDP}
	ipFamilies = [2]string{"IPv4", "IPv6"}
)

// Ports that the pods, and the node and the outside answer on.
const (
	podPort  = 8080
	hostPort = 80
)

func newBed(t *testing.T, link lab.PodLink) *bed {
	t.Helper()
	b := &bed{Cluster: labtest.New(t, lab.Config{Nodes: 2, IPv6: true, PodLink: link}), state: plan.NewState()}
	b.node, b.other = b.Nodes[0], b.Nodes[1]
	b.client = labtest.Pod(t, b.node, "client", podPort)
	b.web = labtest.Pod(t, b.node, "web", podPort, protos...)
	b.there = labtest.Pod(t, b.other, "there", podPort, protos...)
	labtest.Serve(t, b.Outside, hostPort, protos...)
	labtest.Serve(t, b.other.Host, hostPort, protos...)
	for i, ip := range second {
		check(t, b.node.AddAddr("lo", single(ip)))
		check(t, b.other.SetRoute(single(ip), b.node.Addrs()[i], "eth0"))
		check(t, b.RouteVIPs(single(ip), b.node))
		check(t, b.RouteVIPs(b.node.PodCIDRs[i], b.node))
	}
	b.table = openTable(t, b.node.NS)
	return b
}

func openTable(t *testing.T, ns *netns.NS) *kernel.Table {
	t.Helper()
	table, err := kernel.Open(ns)
	check(t, err)
	t.Cleanup(func() { check(t, table.Close()) })
	return table
}

// settings are those of a cluster without anything special.
func (b *bed) settings() nat.Settings {
	return nat.Settings{
		Cluster:       b.Config.ClusterCIDRs(),
		Pods:          nat.PodMatch{CIDRs: b.Config.ClusterCIDRs()},
		NodePortAddrs: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")},
	}
}

// configure changes the settings live.
func (b *bed) configure(t *testing.T, set nat.Settings) {
	t.Helper()
	b.state.Configure(set)
	b.commit(t)
}

// serve makes a frontend with a single backend.
func (b *bed) serve(t *testing.T, policy nat.TrafficPolicy, at inet.Addr, backend netip.AddrPort, onNode bool) {
	t.Helper()
	b.state.Set(at, nat.Frontend{Policy: policy, Owner: "default/web", Backends: []nat.Backend{nat.BackendAt(backend, onNode)}})
	b.commit(t)
}

// commit brings the kernel up to date and returns the operations.
func (b *bed) commit(t *testing.T) string {
	t.Helper()
	return commit(t, b.table, b.state)
}

func commit(t *testing.T, table *kernel.Table, state *plan.State) string {
	t.Helper()
	var ops strings.Builder
	for batch := state.Next(0); batch != nil; batch = state.Next(0) {
		if err := table.Commit(t.Context(), batch.Batch); err != nil {
			t.Fatalf("%v\n%s", err, batch)
		}
		state.Acked(batch)
		ops.WriteString(batch.String())
	}
	return ops.String()
}
