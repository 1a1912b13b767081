// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"context"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	kmetrics "k8s.io/component-base/metrics"
	"k8s.io/klog/v2"

	"fairlead/conntrack"
	"fairlead/internal/inet"
	"fairlead/internal/lab"
	"fairlead/internal/lab/labtest"
	"fairlead/nat/kernel"
	"fairlead/nat/ruleset"
	"fairlead/proxier/convert"
	"fairlead/proxier/metrics"
	"fairlead/proxier/objects"
	"fairlead/proxier/proxiertest"
	"fairlead/proxier/resolve"
	"fairlead/proxier/store"
)

// bed is a cluster of namespaces whose first node runs the agent. Kubernetes
// objects go in; what real packets meet comes out.
//
//	outside ─── fabric ─── node-1 (the agent) ─── client, here
//	                  └─── node-2             ─── there
//
// The fabric sends ClusterIPs and load balancer addresses to node-1. Node-2 sends
// what is for the outside back through node-1, which has to translate it, so
// that a connection works without masquerade, too.
type bed struct {
	*lab.Cluster
	node, other *lab.Node
	client      *lab.Pod
	here, there *lab.Pod // endpoints, on node-1 and node-2

	items map[objects.Key]objects.Object // what is in the store, for a restart
	store *store.Store
	agent *Proxier
	stop  func()

	cleaner *conntrack.Cleaner
	// endEstablished is for the next agent.
	endEstablished bool
	sweeps         atomic.Int64  // how often it looked for stale flows
	gate           sync.RWMutex  // held while the agent must not touch the table
	pause          time.Duration // after each commit of the next agent, in which packets meet what it left
}

// targetPort is where the pods here and there answer, over each protocol.
const targetPort = 8080

var everyProto = []inet.Proto{inet.TCP, inet.UDP, inet.SCTP}

// second are further addresses of node-1: on its loopback device, but not
// loopback addresses. Whoever sees node-1 as one of them sees it unmasqueraded,
// because masquerade takes an address of the device that a packet leaves by.
var second = [2]netip.Addr{netip.MustParseAddr("192.168.60.1"), netip.MustParseAddr("fd00:60::1")}

// newBed returns a cluster with a running agent whose ServiceCIDRs and node are
// known, and no Service.
func newBed(t *testing.T, cfg resolve.Config, link lab.PodLink) *bed {
	t.Helper()
	b := &bed{Cluster: labtest.New(t, lab.Config{Nodes: 2, IPv6: true, PodLink: link}), items: map[objects.Key]objects.Object{}}
	b.node, b.other = b.Nodes[0], b.Nodes[1]
	b.client = labtest.Pod(t, b.node, "client", 0)
	b.here = labtest.Pod(t, b.node, "here", targetPort, everyProto...)
	b.there = labtest.Pod(t, b.other, "there", targetPort, everyProto...)
	for i, ip := range second {
		check(t, b.node.AddAddr("lo", netip.PrefixFrom(ip, ip.BitLen())))
		check(t, b.other.SetRoute(netip.PrefixFrom(ip, ip.BitLen()), b.node.Addrs()[i], "eth0"))
		outside := b.Outside.Addrs()[i]
		check(t, b.other.SetRoute(netip.PrefixFrom(outside, outside.BitLen()), b.node.Addrs()[i], "eth0"))
	}
	for _, p := range proxiertest.MustPrefixes("10.96.0.0/16", "fd00:10:96::/112", "203.0.113.0/24", "2001:db8:113::/112", "192.168.60.1/32", "fd00:60::1/128") {
		check(t, b.RouteVIPs(p, b.node))
	}
	b.put(t, nodeObject(b.node, "zone-a"), cidrObject("kubernetes", "10.96.0.0/16", "fd00:10:96::/112"))
	b.start(t, cfg)
	t.Cleanup(func() { b.stop() })
	return b
}

// defaults are the settings of an agent that was told the cluster CIDRs only.
func defaults() resolve.Config {
	return resolve.Config{NodeName: "node-1", ClusterCIDRs: lab.Config{IPv6: true}.ClusterCIDRs(), NodePortAddresses: []string{resolve.NodePortPrimary}}
}

// start runs an agent on the objects that were put, and waits for its first
// sync.
func (b *bed) start(t *testing.T, cfg resolve.Config) {
	t.Helper()
	table, err := kernel.Open(b.node.NS)
	check(t, err)
	forgetter := kernel.NewAffinityCleaner(b.node.NS)
	b.cleaner = conntrack.NewCleaner(conntrack.Config{Namespace: b.node.NS, EndEstablished: b.endEstablished})
	b.store = store.New()
	b.store.Update(func(tx *store.Tx) {
		for _, it := range b.items {
			tx.Put(&it)
		}
	})
	b.agent = New(cfg, b.store, Deps{Table: gated{pausing{table, b.pause}, &b.gate}, Flows: b.cleaner, Clients: forgetter, Metrics: metrics.NewMetrics(func(...kmetrics.Registerable) {})})
	ctx, cancel := context.WithCancel(klog.NewContext(context.WithoutCancel(t.Context()), klog.Logger{}))
	ended := make(chan error, 3)
	go func() { ended <- b.agent.Run(ctx) }()
	go func() { ended <- b.cleaner.Run(ctx, func(conntrack.Sweep) { b.sweeps.Add(1) }) }()
	go func() { ended <- forgetter.Run(ctx, func(int, error) {}) }()
	b.stop = func() {
		b.stop = func() {} // A test that fails before the next start stops again.
		cancel()
		for range cap(ended) {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
		if err := table.Close(); err != nil {
			t.Error(err)
		}
	}
	b.settle(t)
}

// pausing is a table in the kernel that waits after each commit.
type pausing struct {
	*kernel.Table
	pause time.Duration
}

func (p pausing) Commit(ctx context.Context, b ruleset.Batch) error {
	defer time.Sleep(p.pause)
	return p.Table.Commit(ctx, b)
}

// restart ends the agent and starts another on the same objects.
func (b *bed) restart(t *testing.T, cfg resolve.Config) {
	t.Helper()
	b.stop()
	b.start(t, cfg)
}

// put has the objects noticed by the next agent.
func (b *bed) put(t *testing.T, list ...any) []objects.Object {
	t.Helper()
	var items []objects.Object
	for _, obj := range list {
		it, err := convert.Convert(obj)
		check(t, err)
		for _, p := range it.Problems {
			t.Errorf("unexpected problem: %v", p)
		}
		b.items[it.Key] = it
		items = append(items, it)
	}
	return items
}

// apply puts objects in and waits until the kernel has what they say.
func (b *bed) apply(t *testing.T, objects ...any) {
	t.Helper()
	list := b.put(t, objects...)
	b.store.Update(func(tx *store.Tx) {
		for i := range list {
			tx.Put(&list[i])
		}
	})
	b.settle(t)
}

// remove takes objects out and waits until they are gone from the kernel.
func (b *bed) remove(t *testing.T, objects ...any) {
	t.Helper()
	list := b.put(t, objects...)
	b.store.Update(func(tx *store.Tx) {
		for _, it := range list {
			tx.Drop(it.Key)
			delete(b.items, it.Key)
		}
	})
	b.settle(t)
}

// settle waits until a sync has dealt with everything that is in the store. A
// sync is behind from before it takes what is dirty until it has succeeded.
func (b *bed) settle(t *testing.T) {
	t.Helper()
	waitFor(t, "the agent is up to date", func() bool {
		total, done := b.store.ChangeCounts()
		total.Last, done.Last = time.Time{}, time.Time{}
		return total == done && b.agent.Ready() && b.agent.Behind() == 0
	})
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// waits is how long waitFor waits. An agent that pauses after each batch, beside clients that
// dial without a pause, took more than 20 s at a load average of 25 on two processors.
const waits = time.Minute

// waitFor polls until something is true. The deadline is for a machine with
// other things to do.
func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(waits); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", waits, what)
		}
	}
}

func nodeObject(n *lab.Node, zone string) *corev1.Node {
	obj := &corev1.Node{}
	obj.Name, obj.Labels = n.Name, map[string]string{corev1.LabelTopologyZone: zone}
	for i, ip := range n.Addrs() {
		obj.Status.Addresses = append(obj.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: ip.String()})
		obj.Spec.PodCIDRs = append(obj.Spec.PodCIDRs, n.PodCIDRs[i].String())
	}
	return obj
}

func cidrObject(name string, cidrs ...string) *networkingv1.ServiceCIDR {
	obj := &networkingv1.ServiceCIDR{}
	obj.Name, obj.Spec.CIDRs = name, cidrs
	return obj
}
