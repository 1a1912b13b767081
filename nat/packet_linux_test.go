// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nat_test

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mdlayher/netlink"
	"github.com/ti-mo/conntrack"

	"fairlead/internal/l4"
	"fairlead/internal/lab"
	"fairlead/internal/lab/labtest"
	"fairlead/internal/netns"
	"fairlead/nat"
)

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

	table *nat.Table
	state *nat.State
}

// second are further addresses of node-1.
var second = [2]netip.Addr{netip.MustParseAddr("192.168.60.1"), netip.MustParseAddr("fd00:60::1")}

var (
	protos     = []l4.Proto{l4.TCP, l4.UDP}
	ipFamilies = [2]string{"IPv4", "IPv6"}
)

// Ports that the pods, and the node and the outside answer on.
const (
	podPort  = 8080
	hostPort = 80
)

func newBed(t *testing.T, link lab.PodLink) *bed {
	t.Helper()
	b := &bed{Cluster: labtest.New(t, lab.Config{Nodes: 2, IPv6: true, PodLink: link}), state: nat.NewState()}
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

func openTable(t *testing.T, ns *netns.NS) *nat.Table {
	t.Helper()
	table, err := nat.Open(ns)
	check(t, err)
	t.Cleanup(func() { check(t, table.Close()) })
	return table
}

// settings are those of a cluster without anything special.
func (b *bed) settings() nat.Settings {
	return nat.Settings{
		Cluster:       b.Config.ClusterCIDRs(),
		Pods:          nat.Detector{CIDRs: b.Config.ClusterCIDRs()},
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
func (b *bed) serve(t *testing.T, policy nat.Policy, at l4.Addr, backend netip.AddrPort, onNode bool) {
	t.Helper()
	b.state.Set(at, nat.Frontend{Policy: policy, Owner: "default/web", Backends: []nat.Backend{{AddrPort: backend, OnNode: onNode}}})
	b.commit(t)
}

// commit brings the kernel up to date and returns the operations.
func (b *bed) commit(t *testing.T) string {
	t.Helper()
	return commit(t, b.table, b.state)
}

func commit(t *testing.T, table *nat.Table, state *nat.State) string {
	t.Helper()
	var ops strings.Builder
	for batch := state.Next(0); batch != nil; batch = state.Next(0) {
		if err := table.Commit(t.Context(), batch); err != nil {
			t.Fatalf("%v\n%s", err, batch)
		}
		state.Acked(batch)
		ops.WriteString(batch.String())
	}
	return ops.String()
}

const (
	// answered is how long an answer may take on a machine with other things to
	// do, silence how long none has to come until we believe that none will.
	answered, silence = 10 * time.Second, 300 * time.Millisecond
)

// dial makes one connection from an address of the host, and says who answered
// and what he saw.
func dial(t *testing.T, from *lab.Host, src netip.Addr, to l4.Addr, wait time.Duration) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	c, err := lab.Open(ctx, from.NS, src, to)
	if err != nil {
		return lab.Outcome(lab.Reply{}, err)
	}
	defer func() { check(t, c.Close()) }()
	return c.Reply.String()
}

// patient is a context for answers that must come.
func patient(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), answered)
	t.Cleanup(cancel)
	return ctx
}

// open makes a connection that must succeed.
func open(t *testing.T, from *lab.Host, to l4.Addr) *lab.Conn {
	t.Helper()
	c, err := from.Open(patient(t), to)
	check(t, err)
	return c
}

// expect fails the test unless a connection goes as wanted: "web saw ADDRESS", or
// one of the words of lab.Outcome.
func expect(t *testing.T, from *lab.Host, src netip.Addr, to l4.Addr, want string) {
	t.Helper()
	wait := answered
	if want == lab.ErrTimeout.Error() {
		wait = silence
	}
	if got := dial(t, from, src, to, wait); got != want {
		t.Errorf("%s to %s: got %q, want %q", from.Name, to, got, want)
	}
}

// eachWay calls f for both families and protocols.
func eachWay(t *testing.T, f func(t *testing.T, family int, proto l4.Proto)) {
	t.Helper()
	for i, name := range ipFamilies {
		for _, proto := range protos {
			t.Run(name+" "+proto.String(), func(t *testing.T) { f(t, i, proto) })
		}
	}
}

// gateway is how node-1 is seen by its own pods.
func (b *bed) gateway(family int) netip.Addr { return b.node.PodCIDRs[family].Addr().Next() }

// flows returns what connection tracking in ns knows of flows with the port at
// either end, as "source > destination".
func flows(t *testing.T, ns *netns.NS, port uint16) []string {
	t.Helper()
	c, err := conntrack.Dial(&netlink.Config{NetNS: ns.Fd()})
	check(t, err)
	defer func() { check(t, c.Close()) }()
	list, err := c.Dump(nil)
	check(t, err)
	var out []string
	for _, f := range list {
		if o := f.TupleOrig; o.Proto.SourcePort == port || o.Proto.DestinationPort == port {
			out = append(out, o.IP.SourceAddress.String()+" > "+o.IP.DestinationAddress.String())
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func at(ip netip.Addr, port uint16, proto l4.Proto) l4.Addr {
	return l4.Addr{IP: ip, Port: port, Proto: proto}
}

func single(ip netip.Addr) netip.Prefix { return netip.PrefixFrom(ip, ip.BitLen()) }

func singles(ips ...netip.Addr) []netip.Prefix {
	var out []netip.Prefix
	for _, ip := range ips {
		out = append(out, single(ip))
	}
	return out
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
