// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"fairlead/internal/flannel"
	"fairlead/overlay"
	"fairlead/proxier/objects"
	"fairlead/proxier/proxiertest"
)

func tableOf(cfg *Config, nodes ...*objects.Node) *NodeTable {
	t := NewNodeTable(cfg)
	for _, n := range nodes {
		t.Set(n.Name, n)
	}
	return t
}

// wholeTable is what a table has to say, as text, read from all nodes without a table.
func wholeTable(cfg *Config, nodes map[string]*objects.Node, own []netip.Addr) string {
	all := slices.SortedFunc(func(yield func(*objects.Node) bool) {
		for _, n := range nodes {
			if !yield(n) {
				return
			}
		}
	}, func(a, b *objects.Node) int { return cmp.Compare(a.Name, b.Name) })
	zones, others, pods := map[string]bool{}, map[netip.Addr]string{}, map[netip.Prefix]bool{}
	addrs := map[netip.Addr]bool{}
	if cfg.tunnels() {
		for _, a := range own {
			addrs[a] = true
		}
	}
	for _, n := range all {
		if n.Zone != "" {
			zones[n.Zone] = true
		}
		for _, p := range n.PodCIDRs {
			pods[p.Masked()] = len(cfg.ClusterCIDRs) == 0
		}
		for _, a := range n.Addresses {
			if _, taken := others[a]; !taken && n.Name != cfg.NodeName {
				others[a] = n.Name
			}
			if cfg.tunnels() || cfg.Masquerade && cfg.KeepNodes {
				addrs[a] = true
			}
		}
		if cfg.tunnels() {
			for _, a := range cfg.underlay(n) {
				addrs[a] = true
			}
		}
	}
	if len(cfg.ClusterCIDRs) > 0 {
		pods = map[netip.Prefix]bool{cfg.ClusterCIDRs[0]: true}
	}
	return describeTable(SelfOf(cfg, nodes[cfg.NodeName]), zones, others, pods, addrs)
}

func describeTable[Z, P, A any](self Self, zones map[string]Z, others map[netip.Addr]string, pods map[netip.Prefix]P, addrs map[netip.Addr]A) string {
	return strings.ReplaceAll(fmt.Sprintf("%+v; zones %v; others %v; pods %v; addresses %v", self, keysOf(zones), others, keysOf(pods), keysOf(addrs)), " ", "\n")
}

func keysOf[K comparable, V any](m map[K]V) []string {
	var out []string
	for k := range m {
		out = append(out, fmt.Sprint(k))
	}
	slices.Sort(out)
	return out
}

// wholeGateways is what a table has to say of gateways, read from all nodes.
func wholeGateways(cfg *Config, nodes map[string]*objects.Node, own []netip.Addr) map[netip.Addr]netip.Addr {
	out, since := map[netip.Addr]netip.Addr{}, map[netip.Addr]*objects.Node{}
	if !cfg.tunnels() {
		return out
	}
	for _, name := range slices.Sorted(maps.Keys(nodes)) {
		n := nodes[name]
		if len(n.PodCIDRs) == 0 || name == cfg.NodeName {
			continue
		}
		for _, a := range n.Underlay {
			if other := since[a]; other == nil || n.Created.After(other.Created) {
				out[a], since[a] = n.PodCIDRs[0].Masked().Addr(), n
			}
		}
	}
	if self := nodes[cfg.NodeName]; self != nil {
		own = slices.Concat(own, self.Addresses, self.Underlay)
	}
	for _, a := range own {
		delete(out, a)
	}
	return out
}

func randomNode(r *rand.Rand, name string) *objects.Node {
	addr := func() netip.Addr { return netip.AddrFrom4([4]byte{192, 0, 2, byte(r.IntN(6))}) }
	n := &objects.Node{Name: name, Created: time.Unix(int64(r.IntN(3)), 0), Zone: []string{"", "z1", "z2", "z3"}[r.IntN(4)], Leaving: r.IntN(2) == 0}
	for range r.IntN(3) {
		n.Addresses = append(n.Addresses, addr()) // now and then the same twice
	}
	for range r.IntN(3) {
		n.Underlay = append(n.Underlay, addr())
	}
	for range r.IntN(3) {
		n.PodCIDRs = append(n.PodCIDRs, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 244, byte(r.IntN(4)), 1}), 22+2*r.IntN(2)))
	}
	if r.IntN(2) == 0 {
		n.Flannel = &flannel.Lease{}
		n.Flannel.Public[0] = addr()
	}
	return n
}

// TestNodeTable changes nodes at random, with addresses, ranges and zones that several of
// them have, and compares the table with what all nodes say. What it passes on as changed
// leads from one state to the next.
func TestNodeTable(t *testing.T) {
	ranges := proxiertest.MustPrefixes("10.0.0.0/8")
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 1))
		cfg := &Config{NodeName: "a", Masquerade: r.IntN(2) == 0, KeepNodes: r.IntN(2) == 0, FlannelCompat: r.IntN(2) == 0}
		if r.IntN(2) == 0 {
			cfg.Overlay = &overlay.Config{Mode: overlay.VXLAN}
		}
		if r.IntN(2) == 0 {
			cfg.ClusterCIDRs = ranges
		}
		table, nodes, kernel := NewNodeTable(cfg), map[string]*objects.Node{}, map[netip.Addr]bool{}
		gateways := map[netip.Addr]netip.Addr{}
		var own []netip.Addr
		before := table.Facts()
		for range 60 {
			zones, others := keysOf(before.Zones), fmt.Sprint(before.Others)
			for range 1 + r.IntN(3) {
				name := []string{"a", "b", "c", "d", "e"}[r.IntN(5)]
				if r.IntN(4) == 0 {
					delete(nodes, name)
				} else {
					nodes[name] = randomNode(r, name)
				}
				table.Set(name, nodes[name])
			}
			if r.IntN(5) == 0 {
				own = []netip.Addr{netip.AddrFrom4([4]byte{192, 0, 2, byte(r.IntN(8))})}
				table.SetOwn(own)
			}
			change := table.Take()
			for _, a := range change.Gone {
				delete(kernel, a)
			}
			for _, a := range change.Came {
				kernel[a] = true
			}
			for _, g := range change.Gateways {
				if gateways[g.Node] = g.Address; !g.Address.IsValid() {
					delete(gateways, g.Node)
				}
			}
			if diff := gocmp.Diff(wholeGateways(cfg, nodes, own), gateways, gocmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
				t.Fatalf("seed %d: gateways (-whole +table):\n%s", seed, diff)
			}
			f := table.Facts()
			got := describeTable(f.Self, f.Zones, f.Others, f.Pods.all, kernel)
			if diff := gocmp.Diff(wholeTable(cfg, nodes, own), got); diff != "" {
				t.Fatalf("seed %d (-whole +table):\n%s", seed, diff)
			}
			if !slices.Equal(zones, keysOf(f.Zones)) && len(change.zones) == 0 || others != fmt.Sprint(f.Others) && len(change.others) == 0 {
				t.Fatalf("seed %d: zones or addresses changed, and the change does not say so", seed)
			}
			checkPrefixes(t, &f.Pods)
			before = f
		}
		for name := range nodes {
			table.Set(name, nil)
		}
		table.SetOwn(nil)
		table.Take()
		if n := len(table.nodes) + len(table.ways.claims) + len(table.ways.own) + len(table.ways.changed) + len(table.addrs) + len(table.rivals) + len(table.facts.Zones) + len(table.facts.Others); n > 0 {
			t.Fatalf("seed %d: %d entries of nodes that are gone", seed, n)
		}
	}
}

// checkPrefixes compares the lengths of a set with its prefixes.
func checkPrefixes(t *testing.T, s *PrefixSet) {
	t.Helper()
	want := map[int]bool{}
	for p := range s.all {
		want[p.Bits()] = true
	}
	got := map[int]bool{}
	for _, b := range s.bits {
		got[b] = true
	}
	if len(got) != len(s.bits) || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("lengths %v, want %v", s.bits, want)
	}
}
