// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"context"
	"flag"
	"fmt"
	"net/netip"
	"testing"

	kmetrics "k8s.io/component-base/metrics"
	"k8s.io/klog/v2"

	"fairlead/internal/counts"
	"fairlead/internal/nl/nltest"
	"fairlead/internal/nstest"
	"fairlead/nat/kernel"
	"fairlead/nat/ruleset"
	"fairlead/proxier/metrics"
	"fairlead/proxier/objects"
	"fairlead/proxier/store"
)

var updateCounts = flag.Bool("update-counts", false, "rewrite testdata/counts.txt")

// counted is a world that counts what its proxier costs.
type counted struct {
	*world
	calls *nltest.Counter
	table *countedTable
	quiet context.Context
}

// countedTable counts operations and keeps none.
type countedTable struct {
	*kernel.Table
	operations int
}

func (c *countedTable) Commit(ctx context.Context, b ruleset.Batch) error {
	c.operations += len(b)
	return c.Table.Commit(ctx, b)
}

func newCounted(t *testing.T) *counted {
	t.Helper()
	nstest.Need(t)
	c := &counted{calls: &nltest.Counter{}, quiet: klog.NewContext(t.Context(), klog.Logger{})}
	var err error
	if c.world, err = newWorldWith(c.calls); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	c.table = &countedTable{Table: c.world.table.Table}
	c.again()
	return c
}

// again is a new agent on the same kernel and the same objects.
func (c *counted) again() {
	c.restart()
	c.p = New(c.cfg, c.store, Deps{Table: c.table, Metrics: metrics.NewMetrics(func(...kmetrics.Registerable) {})})
}

// cost counts one action and the syncs after it.
func (c *counted) cost(t *testing.T, action func()) counts.Cost {
	t.Helper()
	operations, before := c.table.operations, c.calls.Traffic()
	cost := counts.Do(func() {
		action()
		if err := c.p.sync(c.quiet); err != nil {
			t.Fatal(err)
		}
	})
	traffic := c.calls.Traffic().Minus(before)
	cost[counts.Operations] = c.table.operations - operations
	cost[counts.Messages], cost[counts.Calls] = traffic.Messages, traffic.Calls
	cost[counts.Sent], cost[counts.Received] = traffic.Sent, traffic.Received
	return cost
}

// put is an action that puts objects into the store.
func (c *counted) put(f func(*store.Tx)) func() { return func() { c.store.Update(f) } }

// scene is an action that is repeated; before each repetition, undo takes it back.
type scene struct {
	name     string
	undo, do func()
}

func (c *counted) play(t *testing.T, s scene) counts.Cost {
	t.Helper()
	var least counts.Cost
	for i := range 5 {
		c.cost(t, s.undo)
		if cost := c.cost(t, s.do); i == 0 {
			least = cost
		} else {
			least = least.Least(cost)
		}
	}
	return least
}

// TestCounts counts what typical changes cost in a cluster of 1,000 Services with 10
// endpoints each, and compares that with testdata/counts.txt.
func TestCounts(t *testing.T) {
	nstest.Long(t, "one goroutine counts what the loop does, which the packet tests run as well")
	c := newCounted(t)
	got := counts.Costs{"first start with 1,000 Services": c.cost(t, c.put(func(tx *store.Tx) {
		for n := range 1000 {
			svc, slice := benchObjects(n, 10)
			tx.SetService(svc)
			tx.SetSlice(slice)
		}
	}))}
	svc, full := benchObjects(7, 10)
	_, less := benchObjects(7, 9)
	less.Endpoints = full.Endpoints[:9]
	other := *full
	other.Endpoints = append([]objects.Endpoint{{Addr: netip.MustParseAddr("10.200.0.1"), Ready: true, Serving: true, Node: objects.NameOf("node-1")}}, full.Endpoints[1:]...)
	fresh, freshSlice := benchObjects(2000, 10)
	node := &objects.Node{Name: "node-new", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.77")}}
	set := func(s *objects.Slice) func() {
		return c.put(func(tx *store.Tx) { copied := *s; tx.SetSlice(&copied) })
	}
	_, one := benchObjects(8, 1)
	none := *one
	none.Endpoints = nil
	for _, s := range []scene{
		{"endpoint added", set(less), set(full)},
		{"endpoint removed", set(full), set(less)},
		{"endpoint replaced", set(full), set(&other)},
		{"only endpoint removed", set(one), set(&none)},
		{"only endpoint added", set(&none), set(one)},
		{"slice written again without a change", set(full), set(full)},
		{
			"Service added with 10 endpoints",
			c.put(func(tx *store.Tx) { tx.DeleteService(fresh.Key); tx.DeleteSlice(freshSlice.Key) }),
			c.put(func(tx *store.Tx) { tx.SetService(fresh); tx.SetSlice(freshSlice) }),
		},
		{
			"Service removed with 10 endpoints",
			c.put(func(tx *store.Tx) { tx.SetService(fresh); tx.SetSlice(freshSlice) }),
			c.put(func(tx *store.Tx) { tx.DeleteService(fresh.Key); tx.DeleteSlice(freshSlice.Key) }),
		},
		{"node added", c.put(func(tx *store.Tx) { tx.DeleteNode(node.Name) }), c.put(func(tx *store.Tx) { tx.SetNode(node) })},
		{"restart of an unchanged cluster", func() {}, c.again},
		{"repair of one element", func() {
			cmd := nstest.Command(t, c.ns, "nft", fmt.Sprintf("delete element inet fairlead vips4 { %s . tcp . 80 }", svc.ClusterIPs[0]))
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("nft: %v: %s", err, out)
			}
		}, func() { c.p.apply.Distrust() }},
	} {
		got[s.name] = c.play(t, s)
	}
	got["endpoint replaced in a Service of 2,000 endpoints"] = changeInLarge(t, 2000)
	const file = "testdata/counts.txt"
	if err := counts.Compare(file, got, *updateCounts); err != nil {
		t.Error(err)
	}
	if text := counts.Lower(file, got); text != "" {
		t.Log(text)
	}
}
