// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"net/netip"

	"fairlead/internal/inet"
)

// checkConfig notes conflicts between ranges of the whole cluster.
func (p *Planner) checkConfig() {
	for _, cluster := range p.cfg.ClusterCIDRs {
		for _, services := range p.cfg.ServiceCIDRs {
			if cluster.Overlaps(services) {
				p.add("", fieldCluster, "%s overlaps service CIDR %s", cluster, services)
			}
		}
	}
}

// podCIDRs returns the pod CIDRs that a node may use, at most one per family, and notes
// the problems of the others.
func (p *Planner) podCIDRs(n *Node) []netip.Prefix {
	if len(n.PodCIDRs) == 0 {
		p.add(n.Name, fieldPodCIDRs, "the node has none yet")
	}
	good := make([]netip.Prefix, 0, 2)
	var seen [2]bool
	for _, cidr := range n.PodCIDRs {
		if !cidr.IsValid() || cidr.Addr().Is4In6() {
			p.add(n.Name, fieldPodCIDRs, "%s is not a prefix", cidr)
			continue
		}
		cidr = cidr.Masked()
		f := inet.FamilyOf(cidr.Addr())
		if seen[f] {
			p.add(n.Name, fieldPodCIDRs, "%s is not used: the node has another %s range", cidr, f)
			continue
		}
		seen[f] = true
		if !p.inCluster(cidr) {
			p.add(n.Name, fieldPodCIDRs, "%s is outside of the cluster CIDR", cidr)
			continue
		}
		// A route to it would lead tunnel packets back into the tunnel.
		if a, bad := p.book.within(cidr); bad {
			p.tangle.spoil(n.Name, cidr)
			p.add(n.Name, fieldPodCIDRs, "%s contains node address %s", cidr, a)
			continue
		}
		if owner, ok := p.owners.claim(cidr, n.Name); !ok {
			p.tangle.contest(n.Name, owner)
			p.contested(n, cidr, owner)
			continue
		}
		good = append(good, cidr)
	}
	return good
}

func (p *Planner) contested(n *Node, cidr netip.Prefix, owner string) {
	if owner == p.self.Name {
		p.add(n.Name, fieldPodCIDRs, "%s overlaps that of this node, %s, which keeps it", cidr, owner)
		return
	}
	p.add(n.Name, fieldPodCIDRs, "%s overlaps that of node %s, which is newer and gets it", cidr, owner)
}

// inCluster reports whether cidr lies in a cluster CIDR, if its family has any.
func (p *Planner) inCluster(cidr netip.Prefix) bool {
	known := false
	for _, cluster := range p.cfg.ClusterCIDRs {
		if inet.FamilyOf(cluster.Addr()) != inet.FamilyOf(cidr.Addr()) {
			continue
		}
		known = true
		if cluster.Bits() <= cidr.Bits() && cluster.Contains(cidr.Addr()) {
			return true
		}
	}
	return !known
}
