// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"fairlead/internal/counts"
	"fairlead/internal/inet"
	"fairlead/internal/nstest"
	"fairlead/proxier/objects"
	"fairlead/proxier/store"
)

// dimension is something of which a cluster can have many.
type dimension struct {
	name string
	size int
	of   func(n int) cluster
}

// cluster is what the API server holds.
type cluster struct {
	services []*objects.Service
	slices   []*objects.Slice
	nodes    []*objects.Node
}

func (c *cluster) put(tx *store.Tx) {
	for _, s := range c.services {
		copied := *s
		tx.SetService(&copied)
	}
	for _, s := range c.slices {
		copied := *s
		tx.SetSlice(&copied)
	}
	for _, n := range c.nodes {
		tx.SetNode(n)
	}
}

func (c *cluster) drop(tx *store.Tx) {
	for _, s := range c.services {
		tx.DeleteService(s.Key)
	}
	for _, s := range c.slices {
		tx.DeleteSlice(s.Key)
	}
	for _, n := range c.nodes {
		tx.DeleteNode(n.Name)
	}
}

// dimensions have maps of backends that are either small or large before they double, because a
// large map has 17 more chains (nat/plan).
func dimensions() []dimension {
	one := func(change func(svc *objects.Service, slice *objects.Slice)) cluster {
		svc, slice := benchObjects(1, 10)
		change(svc, slice)
		return cluster{services: []*objects.Service{svc}, slices: []*objects.Slice{slice}}
	}
	addr := func(net byte, i int) netip.Addr {
		return netip.AddrFrom4([4]byte{net, byte(i >> 16), byte(i >> 8), byte(i)})
	}
	return []dimension{
		{"Services", 200, func(n int) (c cluster) {
			for i := range n {
				svc, slice := benchObjects(i, 10)
				c.services, c.slices = append(c.services, svc), append(c.slices, slice)
			}
			return c
		}},
		{"endpoints of one Service", 2000, largeService},
		{"endpoints outside of the cluster's ranges", 500, func(n int) cluster {
			return one(func(_ *objects.Service, slice *objects.Slice) {
				slice.Endpoints = nil
				for i := range n {
					slice.Endpoints = append(slice.Endpoints, objects.Endpoint{Addr: addr(172, i), Ready: true, Serving: true})
				}
			})
		}},
		{"ports of one Service", 200, func(n int) cluster {
			return one(func(svc *objects.Service, slice *objects.Slice) {
				svc.Ports, slice.Ports = nil, nil
				for i := range n {
					p := objects.ServicePort{Name: fmt.Sprint("p", i), Proto: inet.TCP, Port: 1000 + uint16(i), NodePort: 30000 + uint16(i)}
					svc.Ports = append(svc.Ports, p)
					slice.Ports = append(slice.Ports, objects.SlicePort{Name: p.Name, Proto: p.Proto, Port: p.Port})
				}
			})
		}},
		{"external IPs of one Service", 200, func(n int) cluster {
			return one(func(svc *objects.Service, _ *objects.Slice) {
				for i := range n {
					svc.ExternalIPs = append(svc.ExternalIPs, addr(198, i))
				}
			})
		}},
		{"source ranges of one Service", 500, func(n int) cluster {
			return one(func(svc *objects.Service, _ *objects.Slice) {
				svc.LoadBalancerIPs, svc.Restricted = []netip.Addr{addr(203, 1)}, true
				for i := range n {
					svc.SourceRanges = append(svc.SourceRanges, netip.PrefixFrom(addr(11, i<<8), 24))
				}
			})
		}},
		{"claims of one external IP", 100, func(n int) (c cluster) {
			for i := range n {
				svc, slice := benchObjects(i, 1)
				svc.ExternalIPs = []netip.Addr{addr(198, 1)}
				c.services, c.slices = append(c.services, svc), append(c.slices, slice)
			}
			return c
		}},
		{"sticky Services", 50, func(n int) (c cluster) {
			for i := range n {
				svc, slice := benchObjects(i, 4)
				svc.Affinity = 3 * time.Hour
				c.services, c.slices = append(c.services, svc), append(c.slices, slice)
			}
			return c
		}},
		{"nodes", 500, func(n int) (c cluster) {
			for i := range n {
				a := addr(192, i)
				c.nodes = append(c.nodes, &objects.Node{
					Name: fmt.Sprint("node-", i), Addresses: []netip.Addr{a}, Underlay: []netip.Addr{a},
					PodCIDRs: []netip.Prefix{netip.PrefixFrom(addr(10, 1<<22|i<<8), 24)},
				})
			}
			return c
		}},
	}
}

// largeService has one Service of n endpoints, in slices of 100 each.
func largeService(n int) cluster {
	svc, all := benchObjects(0, n)
	c := cluster{services: []*objects.Service{svc}}
	for first := 0; first < n; first += 100 {
		slice := *all
		slice.Key = types.NamespacedName{Namespace: "default", Name: fmt.Sprint("slice-", first)}
		slice.Endpoints = all.Endpoints[first : first+100]
		c.slices = append(c.slices, &slice)
	}
	return c
}

// doublingTries is how often a dimension is measured. A busy kernel resizes the hash tables of sets
// some time after they grew, and a dump that goes on meanwhile is read once more.
const doublingTries = 3

// TestDoubling doubles each dimension of a cluster. No action may cost more than twice as
// much then, so no step is quadratic.
func TestDoubling(t *testing.T) {
	nstest.Long(t, "one goroutine counts what the loop does, which the packet tests run as well")
	for _, d := range dimensions() {
		t.Run(d.name, func(t *testing.T) {
			var err error
			for range doublingTries {
				if err = doubled(t, d); err == nil {
					return
				}
				t.Log(err)
			}
			t.Error(err)
		})
	}
}

// doubled measures a dimension once, and returns what was not linear.
func doubled(t *testing.T, d dimension) error {
	t.Helper()
	once, twice := lifeOf(t, d.of(d.size)), lifeOf(t, d.of(2*d.size))
	t.Logf("%d: %v", d.size, once)
	t.Logf("%d: %v", 2*d.size, twice)
	var errs []error
	for action := range once {
		errs = append(errs, counts.Doubled(action, once[action], twice[action]))
	}
	return errors.Join(errs...)
}

// lifeOf counts what a cluster costs from its beginning to its end, in a kernel that is
// empty before.
func lifeOf(t *testing.T, c cluster) counts.Costs {
	t.Helper()
	w := newCounted(t)
	w.cost(t, func() {}) // what every cluster has
	costs := counts.Costs{"written": w.cost(t, w.put(c.put))}
	costs["written again"] = w.cost(t, w.put(c.put))
	costs["restart"] = w.cost(t, w.again)
	costs["repair"] = w.cost(t, func() { w.p.apply.Distrust() })
	if costs["written"][counts.Operations] == 0 && len(c.services) > 0 {
		t.Error("nothing was written")
	}
	for _, quiet := range []string{"written again", "restart", "repair"} {
		if n := costs[quiet][counts.Operations]; n != 0 {
			t.Errorf("%s: %d operations, want 0", quiet, n)
		}
	}
	costs["removed"] = w.cost(t, w.put(c.drop))
	return costs
}
