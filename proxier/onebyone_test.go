// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"fmt"
	"net/netip"
	"testing"

	"fairlead/internal/counts"
	"fairlead/overlay"
	"fairlead/proxier/objects"
	"fairlead/proxier/proxiertest"
	"fairlead/proxier/store"
)

// heard is an Overlay that counts how often it was told about nodes.
type heard struct{ all, came, gone int }

func (h *heard) Set(overlay.Node, []overlay.Node) { h.all++ }

func (h *heard) Change(came []overlay.Node, gone []string) {
	h.came += len(came)
	h.gone += len(gone)
}

// joining returns a node by its number.
func joining(i int) *objects.Node {
	addr := func(net byte, i int) netip.Addr {
		return netip.AddrFrom4([4]byte{net, byte(i >> 16), byte(i >> 8), byte(i)})
	}
	a := addr(192, i)
	return &objects.Node{
		Name: fmt.Sprint("node-", i), Zone: fmt.Sprint("zone-", i%3), Addresses: []netip.Addr{a}, Underlay: []netip.Addr{a},
		PodCIDRs: []netip.Prefix{netip.PrefixFrom(addr(10, 1<<22|i<<8), 24)},
	}
}

// newJoining is a cluster with Services, an overlay and n nodes beside this one.
func newJoining(t *testing.T, n int) (*counted, *heard) {
	t.Helper()
	c, h := newCounted(t), &heard{}
	c.cfg.Overlay, c.cfg.Masquerade, c.cfg.KeepNodes = &overlay.Config{Mode: overlay.VXLAN}, true, true
	c.again()
	c.p.overlay = h
	c.cost(t, c.put(func(tx *store.Tx) {
		for i := range 200 {
			svc, slice := benchObjects(i, 4)
			svc.ExternalIPs = []netip.Addr{netip.AddrFrom4([4]byte{198, 51, 100, byte(i)})}
			tx.SetService(svc)
			tx.SetSlice(slice)
		}
		tx.SetNode(&objects.Node{Name: c.cfg.NodeName, Zone: "zone-0", Addresses: proxiertest.MustAddrs("172.16.0.1"), Underlay: proxiertest.MustAddrs("172.16.0.1"), PodCIDRs: proxiertest.MustPrefixes("10.244.1.0/24")})
		for i := range n {
			tx.SetNode(joining(i))
		}
	}))
	return c, h
}

// TestOneByOne has nodes join, change and leave one after the other. What one of them costs
// does not depend on how many there are.
func TestOneByOne(t *testing.T) {
	life := func(n int) counts.Costs {
		c, h := newJoining(t, n)
		costs := counts.Costs{}
		step := func(name string, operations int, f func(*store.Tx)) {
			cost := c.cost(t, c.put(f))
			if cost[counts.Operations] != operations {
				t.Errorf("%d nodes: %s: %v, want %d operations", n, name, cost, operations)
			}
			if least, again := costs[name]; again {
				cost = cost.Least(least)
			}
			costs[name] = cost
		}
		const rounds = 12
		before := *h
		for i := range rounds {
			fresh := joining(50000 + i)
			taint, same, moved := *fresh, *fresh, *fresh
			taint.Leaving = true
			moved.Addresses, moved.Underlay, moved.Leaving = joining(60000+i).Addresses, joining(60000+i).Underlay, true
			elsewhere := moved
			elsewhere.Zone, elsewhere.PodCIDRs = "zone-1", joining(60000+i).PodCIDRs
			step("joined", 2, func(tx *store.Tx) { tx.SetNode(fresh) })
			step("heard of again", 0, func(tx *store.Tx) { tx.SetNode(&same) })
			step("leaves", 0, func(tx *store.Tx) { tx.SetNode(&taint) })
			step("has another address", 4, func(tx *store.Tx) { tx.SetNode(&moved) })
			step("has other pods", 2, func(tx *store.Tx) { tx.SetNode(&elsewhere) })
			step("left", 2, func(tx *store.Tx) { tx.DeleteNode(fresh.Name) })
		}
		if h.all != before.all || h.came != before.came+4*rounds || h.gone != before.gone+rounds {
			t.Errorf("%d nodes: the overlay was told of %+v, before of %+v", n, *h, before)
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
