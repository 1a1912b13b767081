// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package keeper

import (
	"flag"
	"slices"
	"testing"

	"fairlead/internal/counts"
	"fairlead/internal/nl/nltest"
	"fairlead/internal/nstest"
	"fairlead/overlay"
	"fairlead/overlay/kernel"
)

var updateCounts = flag.Bool("update-counts", false, "rewrite testdata/counts.txt")

// counted is a Keeper that is called pass by pass and counts what that costs.
type counted struct {
	*Keeper
	calls *nltest.Counter
}

func newCounted(t *testing.T, h *host) *counted {
	t.Helper()
	c := &counted{calls: &nltest.Counter{}}
	var err error
	if c.Keeper, err = New(h.ns, Options{}); err != nil {
		t.Fatal(err)
	}
	if c.sock, err = kernel.DialWith(h.ns, c.calls); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.sock.Close() })
	return c
}

// cost counts one pass.
func (c *counted) cost(t *testing.T, in input, look bool) counts.Cost {
	t.Helper()
	before := c.calls.Traffic()
	var r overlay.Report
	cost := counts.Do(func() { r = c.must(t, in, look) })
	traffic := c.calls.Traffic().Minus(before)
	cost[counts.Operations] = r.Written
	cost[counts.Messages], cost[counts.Calls] = traffic.Messages, traffic.Calls
	cost[counts.Sent], cost[counts.Received] = traffic.Sent, traffic.Received
	return cost
}

// TestCounts counts what typical changes cost among 1,000 dual-stack nodes, and compares
// that with testdata/counts.txt.
func TestCounts(t *testing.T) {
	h := newHost(t)
	c := newCounted(t, h)
	all := nodes(2, 1002)
	in := func(version int, peers []overlay.Node) input {
		return input{self: node(1), peers: peers, version: uint64(version)}
	}
	few := all[:1000]
	moved := append([]overlay.Node(nil), few...)
	moved[77].Underlay = node(5000).Underlay
	version := 1
	got := counts.Costs{"first start with 1,000 nodes": c.cost(t, in(version, few), true)}
	for _, s := range []struct {
		name         string
		undo, do     []overlay.Node
		look, anew   bool
		disturbances []string
	}{
		{name: "node joined", undo: few, do: all},
		{name: "node left", undo: all, do: few},
		{name: "node moved", undo: few, do: moved},
		{name: "check without a difference", undo: few, do: few, look: true},
		{name: "restart of an unchanged cluster", undo: few, do: few, look: true, anew: true},
		{name: "repair of one route", undo: few, do: few, look: true, disturbances: []string{"ip", "route", "delete", few[5].PodCIDRs[0].String()}},
	} {
		var least counts.Cost
		for i := range 5 {
			version++
			c.cost(t, in(version, s.undo), false)
			if s.disturbances != nil {
				h.run(t, s.disturbances...)
			}
			if s.anew {
				c = newCounted(t, h)
			}
			if !s.look {
				version++
			}
			cost := c.cost(t, in(version, s.do), s.look)
			if i > 0 {
				cost = cost.Least(least)
			}
			least = cost
		}
		got[s.name] = least
	}
	if nstest.Older(t, 6, 12) && !*updateCounts { // 6.1 sends the same bytes of a dump in more parts
		for name, cost := range got {
			cost[counts.Calls] = 0
			got[name] = cost
		}
	}
	const file = "testdata/counts.txt"
	if err := counts.Compare(file, got, *updateCounts); err != nil {
		t.Error(err)
	}
	if text := counts.Lower(file, got); text != "" {
		t.Log(text)
	}
}

// TestOneByOne has nodes join, move and leave one after the other. What one of them costs
// does not depend on how many there are, nor on problems that other nodes have: one waits
// for its pod CIDR, two claim the same, and the range of one contains a node's address.
func TestOneByOne(t *testing.T) {
	life := func(n int) counts.Costs {
		c := newCounted(t, newHost(t))
		cluster := nodes(2, n+1)
		cluster[3].PodCIDRs = nil
		cluster[5].PodCIDRs = cluster[6].PodCIDRs
		cluster[8].Underlay = slices.Clone(cluster[8].Underlay)
		cluster[8].Underlay[0] = cluster[7].PodCIDRs[0].Addr().Next()
		c.Set(node(1), cluster)
		c.cost(t, c.nodes.take(false), true)
		costs := counts.Costs{}
		step := func(name string, operations int, came []overlay.Node, gone ...string) {
			cost := c.cost(t, func() input { c.Change(came, gone); return c.nodes.take(true) }(), false)
			if cost[counts.Operations] != operations {
				t.Errorf("%d nodes: %s: %v, want %d operations", n, name, cost, operations)
			}
			if least, again := costs[name]; again {
				cost = cost.Least(least)
			}
			costs[name] = cost
		}
		for i := range 12 {
			fresh := []overlay.Node{node(5000 + i)}
			step("joined", 6, fresh)
			step("heard of again", 0, fresh)
			fresh[0].Underlay = node(6000 + i).Underlay
			step("moved", 2, fresh)
			step("left", 6, nil, fresh[0].Name)
			range4 := fresh[0].PodCIDRs
			fresh[0].PodCIDRs = nil
			step("joined without a range", 0, fresh)
			fresh[0].PodCIDRs = range4
			step("got its range", 6, fresh)
			step("left", 6, nil, fresh[0].Name)
		}
		return costs
	}
	few, many := life(500), life(2000)
	if err := few.Same(many); err != nil {
		t.Error(err)
	}
	t.Logf("500: %v", few)
	t.Logf("2000: %v", many)
}

// TestDoubling doubles the nodes. No pass may cost more than twice as much then.
func TestDoubling(t *testing.T) {
	nstest.Long(t, "one goroutine counts what a pass does, which TestRestart runs as well")
	life := func(n int) counts.Costs {
		h := newHost(t)
		c := newCounted(t, h)
		in := input{self: node(1), peers: nodes(2, n), version: 1}
		costs := counts.Costs{"written": c.cost(t, in, true), "checked": c.cost(t, in, true)}
		c = newCounted(t, h)
		costs["restart"] = c.cost(t, in, true)
		if costs["written"][counts.Operations] < 6*(n-1) || costs["restart"][counts.Operations] != 0 {
			t.Errorf("%d nodes: %v", n, costs)
		}
		in.version, in.peers = 2, nil
		costs["removed"] = c.cost(t, in, false)
		return costs
	}
	once, twice := life(500), life(1000)
	for action := range once {
		if err := counts.Doubled(action, once[action], twice[action]); err != nil {
			t.Error(err)
		}
	}
	t.Logf("500: %v", once)
	t.Logf("1000: %v", twice)
}
