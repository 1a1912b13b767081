// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestUpdate changes clusters at random: a plan that is led from one to the next
// is the one made from scratch, problems included.
func TestUpdate(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	updates := 0
	for range 300 {
		cfg := Config{Mode: Mode(random.IntN(4))}
		cluster := nodes(1, 8)
		p := NewPlanner(cfg, wire(1500), cluster[0], cluster[1:])
		p.Remember(cluster[1:])
		for range 20 {
			cluster = mutate(random, cluster)
			self, peers := cluster[0], cluster[1:]
			if p.Update(&self, peers) {
				updates++
			} else {
				p = NewPlanner(cfg, wire(1500), self, peers)
				p.Remember(peers)
			}
			want, problems := NewPlan(cfg, wire(1500), self, peers)
			if diff := cmp.Diff(want.String(), p.String()); diff != "" {
				t.Fatalf("plan (-scratch +updated):\n%s", diff)
			}
			if diff := cmp.Diff(problems, []Problem(p.problems)); diff != "" {
				t.Fatalf("problems (-scratch +updated):\n%s", diff)
			}
			if !slices.Equal(want.Tunnel.Nodes, p.Tunnel.Nodes) || want.MTU != p.MTU {
				t.Fatalf("nodes %v, want %v", p.Tunnel.Nodes, want.Tunnel.Nodes)
			}
		}
	}
	if updates < 500 {
		t.Errorf("only %d of 6000 plans were updated", updates)
	}
}

func mutate(random *rand.Rand, cluster []Node) []Node {
	cluster = slices.Clone(cluster)
	i := random.IntN(len(cluster))
	n := &cluster[i]
	other := node(1 + random.IntN(12))
	switch random.IntN(16) {
	case 0, 1:
		if i > 0 {
			return slices.Delete(cluster, i, i+1)
		}
	case 2, 3, 4:
		if !slices.ContainsFunc(cluster, func(n Node) bool { return n.Name == other.Name }) {
			return append(cluster, other)
		}
	case 5, 6:
		n.Underlay = node(20 + random.IntN(40)).Underlay
	case 7, 8:
		n.PodCIDRs = node(20 + random.IntN(40)).PodCIDRs
	case 9:
		n.PodCIDRs = other.PodCIDRs
	case 10:
		n.Underlay = other.Underlay
	case 11:
		n.Underlay = addrs("10.128.3.7", "fd00:50::77")
	case 12:
		n.PodCIDRs = prefixes("10.128.0.0/20", "fd00:10:244:3::/64")
	case 13:
		n.Underlay = n.Underlay[:1]
	case 14:
		n.VTEPs[random.IntN(2)] = MAC{2, 1}
	default:
		name := n.Name
		*n = other
		n.Name = name
	}
	return cluster
}
