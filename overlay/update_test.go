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
	updates, troubled := 0, 0
	for range 300 {
		cfg := Config{Mode: Mode(random.IntN(4))}
		cluster := nodes(1, 8)
		p := NewPlanner(cfg, wire(1500), cluster[0], cluster[1:])
		p.Remember(cluster[1:])
		for range 20 {
			before := cluster
			for range 1 + random.IntN(6)/5 {
				cluster = mutate(random, cluster)
			}
			self, peers := cluster[0], cluster[1:]
			if update(random, p, before, cluster) {
				updates++
				if len(p.problems) > 0 {
					troubled++
				}
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
			if want.Tunnel.Nodes != p.Tunnel.Nodes || want.MTU != p.MTU {
				t.Fatalf("nodes %v, want %v", p.Tunnel.Nodes, want.Tunnel.Nodes)
			}
		}
	}
	if updates < 1000 || troubled < 700 {
		t.Errorf("only %d of 6000 plans were updated, %d of them with problems", updates, troubled)
	}
}

// update leads a plan to a cluster, by all nodes or by those that changed.
func update(random *rand.Rand, p *Planner, before, cluster []Node) bool {
	if random.IntN(2) == 0 {
		return p.Update(&cluster[0], cluster[1:])
	}
	var gone []string
	for i := range before[1:] {
		if n := &before[1+i]; !slices.ContainsFunc(cluster, func(o Node) bool { return o.Name == n.Name }) {
			gone = append(gone, n.Name)
		}
	}
	var came []Node
	for i := range cluster[1:] {
		n := &cluster[1+i]
		if !slices.ContainsFunc(before, func(o Node) bool { return o.Equal(n) }) || random.IntN(4) == 0 {
			came = append(came, *n)
		}
	}
	return p.Change(&cluster[0], came, gone)
}

func mutate(random *rand.Rand, cluster []Node) []Node {
	cluster = slices.Clone(cluster)
	i := random.IntN(len(cluster))
	n := &cluster[i]
	other := node(1 + random.IntN(12))
	switch random.IntN(20) {
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
		n.Underlay = n.Underlay[:min(1, len(n.Underlay))]
	case 15, 16:
		n.PodCIDRs = nil
	case 17:
		n.Underlay = nil
	case 18:
		n.PodCIDRs = slices.Concat(n.PodCIDRs, other.PodCIDRs)
	case 14:
		n.VTEPs[random.IntN(2)] = MAC{2, 1}
	default:
		name := n.Name
		*n = other
		n.Name = name
	}
	return cluster
}
