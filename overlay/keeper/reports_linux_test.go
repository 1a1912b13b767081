// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package keeper

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"fairlead/overlay"
)

// The tests here repeat situations of docs/field-reports.md that no other test has.

// TestPodCIDRsGrow gives nodes larger pod CIDRs, one node after the other, of which
// one contains what another node had before. Nothing of the old CIDRs stays.
func TestPodCIDRsGrow(t *testing.T) {
	h := newHost(t)
	k := start(t, h.ns, Options{Resync: time.Hour})
	all := nodes(1, 3)
	grow := func(i int, cidr string) {
		all[i].PodCIDRs = []netip.Prefix{netip.MustParsePrefix(cidr), all[i].PodCIDRs[1]}
	}
	grow(0, "10.42.0.0/24")
	grow(1, "10.42.1.0/24")
	grow(2, "10.42.2.0/24")
	k.Set(all[0], all[1:])
	h.becomes(t, overlay.Config{}, k.plan(t, h, all))
	for i, cidr := range []string{"10.42.16.0/21", "10.42.24.0/21", "10.42.0.0/21"} {
		grow(i, cidr)
		k.Set(all[0], append([]overlay.Node(nil), all[1:]...))
		h.becomes(t, overlay.Config{}, k.plan(t, h, all))
	}
	routes := h.run(t, "ip", "route", "show")
	for _, old := range []string{"10.42.0.0/24", "10.42.1.0/24", "10.42.2.0/24"} {
		if strings.Contains(routes, old) {
			t.Errorf("%s is left:\n%s", old, routes)
		}
	}
}

// plan is what the kernel should hold for nodes, of which the first is this one.
func (k *keeper) plan(t *testing.T, h *host, all []overlay.Node) overlay.Plan {
	t.Helper()
	p, problems := overlay.NewPlan(overlay.Config{}, h.underlay(t), all[0], all[1:])
	if len(problems) > 0 {
		t.Fatalf("problems: %v", problems)
	}
	return p
}

// TestIPv6Disabled has the nodes of a dual-stack cluster as peers of a node whose
// kernel has IPv6 switched off. IPv4 works, and nothing is written twice.
func TestIPv6Disabled(t *testing.T) {
	for _, stack := range []string{"IPv4", "dual"} {
		t.Run(stack, func(t *testing.T) {
			h := newHost(t)
			for _, dev := range []string{"all", "default", uplink} {
				h.run(t, "sysctl", "-qw", "net.ipv6.conf."+dev+".disable_ipv6=1")
			}
			self, peers := node(1), nodes(2, 3)
			if stack == "IPv4" {
				for _, n := range []*overlay.Node{&self, &peers[0], &peers[1]} {
					n.PodCIDRs, n.Underlay = n.PodCIDRs[:1], n.Underlay[:1]
				}
			}
			k := start(t, h.ns, Options{Resync: 50 * time.Millisecond})
			k.Set(self, peers)
			eventually(t, "routes to the peers", func() error {
				if got := h.run(t, "ip", "route", "show", "proto", "102"); strings.Count(got, "fairlead.1") != 2 {
					return fmt.Errorf("%s", got)
				}
				return nil
			})
			// The pass that wrote the routes reports after that.
			_, _, _, passes := k.last()
			k.passes(t, passes+2)
			r, written, _, passes := k.last()
			if stack == "IPv4" && (!r.Ready || len(r.Problems) > 0 || r.Err != nil) {
				t.Errorf("report: %+v", r)
			}
			if stack == "dual" && r.Err == nil && len(r.Problems) == 0 {
				t.Errorf("IPv6 does not work, and no problem says so: %+v", r)
			}
			// What can be written is written once.
			k.passes(t, passes+10)
			if again, after, _, _ := k.last(); after != written {
				t.Errorf("wrote %d more: %+v", after-written, again)
			}
		})
	}
}

// TestUplinkReplaced deletes the interface that tunnels leave by, and adds one with
// the same name and addresses, as ifdown and ifup do with a VLAN or a bond.
func TestUplinkReplaced(t *testing.T) {
	h := newHost(t)
	k := start(t, h.ns, Options{Resync: time.Hour})
	k.sync(t, node(1), nodes(2, 4)...)
	plan := k.want()
	h.becomes(t, overlay.Config{}, plan)
	for range 3 {
		h.must(t, h.links.LinkDel(h.link(t, uplink)))
		h.addUplink(t)
		h.becomes(t, overlay.Config{}, plan)
	}
	eventually(t, "no problem is left", func() error {
		if r, _, _, _ := k.last(); !r.Ready || len(r.Problems) > 0 || r.Err != nil {
			return fmt.Errorf("%+v", r)
		}
		return nil
	})
}
