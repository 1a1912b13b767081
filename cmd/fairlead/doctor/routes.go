// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"net/netip"

	"fairlead/cmd/fairlead/doctor/finding"
	"fairlead/cmd/fairlead/inspect"
	"fairlead/cmd/fairlead/view"
	"fairlead/internal/inet"
	"fairlead/overlay"
)

// checkRoutes looks for routes and routing rules of other programs that take packets for
// pods of other nodes, such as those of a VPN or of NetworkManager.
func (d *doctor) checkRoutes(ctx context.Context) {
	const check = "routes"
	cfg := d.Config.Proxier.Overlay
	if cfg == nil || cfg.Mode == overlay.None || d.objects == nil {
		return // other programs make the routes, or the nodes are not known
	}
	network, err := (&inspect.Live{}).Node().Network(ctx)
	if err != nil {
		d.unknown(check, "the routes of this node: %v", err)
		return
	}
	found, ranges := d.detours(network, view.Overlay{Protocol: cfg.WithDefaults().Protocol, Pods: d.Config.Proxier.ClusterCIDRs})
	some, more := first(found)
	for _, f := range some {
		d.report.Add(check, finding.Error, []string{f.Remedy}, "packets for pods of other nodes do not take the overlay: %s", f.Evidence)
	}
	switch {
	case more > 0:
		d.report.Add(check, finding.Error, []string{"list them with: ip route show table all; ip rule"}, "%d more routes of other programs take packets for pods", more)
	case network.LeftOut > 0:
		d.unknown(check, "%d routes and neighbours of this node were not read", network.LeftOut)
	case len(found) == 0:
		d.ok(check, "no route or rule of another program takes packets for the %d ranges of pods of other nodes", ranges)
	}
}

// detours returns each detour once, and the number of ranges that were tried.
func (d *doctor) detours(network *view.Network, o view.Overlay) (found []view.Detour, ranges int) {
	self := d.objects.Node(d.Config.Proxier.NodeName)
	if self == nil {
		return nil, 0
	}
	seen := map[string]bool{}
	for _, n := range d.objects.Nodes() {
		if n.Name == self.Name || n.Leaving {
			continue
		}
		for _, cidr := range n.PodCIDRs {
			ranges++
			for _, to := range append(network.Inside(cidr, o), cidr.Masked().Addr().Next()) {
				w := view.Way{Src: podOf(self.PodCIDRs, to), Dst: to}
				if f, ok := network.DetourOf(w, o); ok && !seen[f.Evidence] {
					seen[f.Evidence] = true
					found = append(found, f)
				}
			}
		}
	}
	return found, ranges
}

// podOf returns an address that a pod of this node may have, of the family of the other end.
func podOf(own []netip.Prefix, to netip.Addr) netip.Addr {
	for _, cidr := range own {
		if inet.FamilyOf(cidr.Addr()) == inet.FamilyOf(to) {
			return cidr.Masked().Addr().Next().Next()
		}
	}
	return netip.Addr{}
}
