// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"net/netip"
	"slices"

	"fairlead/internal/flannel"
	"fairlead/internal/inet"
)

// leaseAnnotations returns flannel's annotations of this Node, and whether the Node
// lacks them.
func (n *Network) leaseAnnotations() (map[string]string, bool) {
	want, missing := n.lease()
	return want.Annotations(), missing
}

// lease returns the wanted annotations, and whether the Node lacks them.
func (n *Network) lease() (want flannel.Lease, missing bool) {
	self, report := n.store.Node(n.proxy.NodeName), n.report.Load()
	if self == nil || report == nil {
		return want, false
	}
	node, cfg := n.proxy.OverlaySelf(self), n.proxy.Overlay.WithDefaults()
	reached := []netip.Addr{n.reached(self, report, inet.IPv4), n.reached(self, report, inet.IPv6)}
	for _, a := range append(reached, node.Underlay...) {
		if !a.IsValid() {
			continue
		}
		f, device := inet.IPv4, cfg.Device4
		if a.Is6() {
			f, device = inet.IPv6, cfg.Device6
		}
		if slices.Contains(report.Devices, device) && !want.Public[f].IsValid() {
			want.Public[f], want.VNI[f], want.MACs[f] = a, cfg.VNI, node.VTEP(f)
		}
	}
	if have := self.Flannel; have != nil {
		want.Overwrite = have.Overwrite
		for f := range want.Public {
			want.Public[f] = want.Address(f)
		}
		return want, !covers(have, &want)
	}
	return want, want != flannel.Lease{}
}

// covers reports whether have contains everything in want. It may contain more, for
// an address family that this node's overlay does not use.
func covers(have, want *flannel.Lease) bool {
	for f := range want.Public {
		if want.MACs[f] != [6]byte{} && (have.MACs[f] != want.MACs[f] || have.VNI[f] != want.VNI[f] || have.Public[f] != want.Public[f]) {
			return false
		}
	}
	return true
}
