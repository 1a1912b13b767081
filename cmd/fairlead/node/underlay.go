// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"net/netip"
	"slices"
	"strings"

	"fairlead/internal/inet"
	"fairlead/overlay"
	"fairlead/proxier/objects"
)

// underlayAnnotation returns the annotations by which other nodes learn the addresses of this
// node's overlay, and whether the Node lacks them. While the addresses of the Node's status
// suffice, there are none, and those that an agent wrote are to be removed: peers would go on
// to send to an address that the node no longer has.
func (n *Network) underlayAnnotation() (want map[string]string, missing bool) {
	self, report := n.store.Node(n.proxy.NodeName), n.report.Load()
	if self == nil || report == nil {
		return nil, false
	}
	list, needed := n.underlay(self, report)
	if !needed {
		if !self.UnderlayWritten {
			return nil, false
		}
		return underlayAnnotations(""), true
	}
	words := make([]string, len(list))
	for i, a := range list {
		words[i] = a.String()
	}
	have := self.Underlay[:min(len(list), len(self.Underlay))]
	return underlayAnnotations(strings.Join(words, ",")), !slices.Equal(have, list)
}

func underlayAnnotations(value string) map[string]string {
	return map[string]string{objects.AnnotationUnderlay: value, objects.AnnotationUnderlayWritten: value}
}

// underlay returns the addresses that peers send to, then those by which this node
// sends, and whether they differ from what the Node's status says.
func (n *Network) underlay(self *objects.Node, r *overlay.Report) (list []netip.Addr, needed bool) {
	for _, f := range inet.Families() {
		status := first(self.Addresses, f)
		a := n.reached(self, r, f)
		if a.IsValid() {
			list = append(list, a)
		}
		needed = needed || a != status
	}
	for _, own := range r.Tunnel.Own {
		if !slices.Contains(list, own) {
			list = append(list, own)
		}
		needed = needed || !slices.Contains(self.Addresses, own)
	}
	return list, needed
}

// reached returns the address of a family by which peers reach this node: the one that
// a flag names, that of the selected interface, or that of the status.
func (n *Network) reached(self *objects.Node, r *overlay.Report, f inet.Family) netip.Addr {
	u := &n.proxy.Overlay.Uplink
	if a := u.Addresses[f]; a.IsValid() {
		return a
	}
	if own := first(r.Tunnel.Own, f); u.Selects() && own.IsValid() {
		return own
	}
	return first(self.Addresses, f)
}

// first returns the first address of a family, or one that is not valid.
func first(list []netip.Addr, f inet.Family) netip.Addr {
	for _, a := range list {
		if inet.FamilyOf(a) == f {
			return a
		}
	}
	return netip.Addr{}
}
