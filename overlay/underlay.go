// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"net/netip"
	"slices"

	"fairlead/internal/inet"
)

// Underlay describes the node's own network without the overlay's devices.
type Underlay struct {
	Links []Link
	// Toward names the link by which the kernel sends to Uplink.CanReach; empty
	// without one.
	Toward string
}

// Link is a network device of the node.
type Link struct {
	Name     string
	MTU      int
	Up       bool
	Loopback bool
	Addrs    []netip.Prefix
	// Default tells for which families a default route uses this device.
	Default [2]bool
}

// Equal reports whether two descriptions are the same.
func (u Underlay) Equal(o Underlay) bool {
	return u.Toward == o.Toward && slices.EqualFunc(u.Links, o.Links, func(a, b Link) bool {
		return a.Name == b.Name && a.MTU == b.MTU && a.Up == b.Up && a.Loopback == b.Loopback &&
			a.Default == b.Default && slices.Equal(a.Addrs, b.Addrs)
	})
}

// Bearing returns the device that has an address, and the address's prefix.
func (u Underlay) Bearing(a netip.Addr) (*Link, netip.Prefix) {
	if !a.IsValid() {
		return nil, netip.Prefix{}
	}
	for i := range u.Links {
		for _, p := range u.Links[i].Addrs {
			if p.Addr() == a {
				return &u.Links[i], p
			}
		}
	}
	return nil, netip.Prefix{}
}

// Egress returns the device by which packets from an underlay address leave: the one
// that has the address, or that of the default route if no device has it, as behind a
// NAT, or loopback has it, as on routed hosts.
func (u Underlay) Egress(a netip.Addr) *Link {
	if !a.IsValid() {
		return nil
	}
	if l, _ := u.Bearing(a); l != nil && !l.Loopback {
		return l
	}
	for i := range u.Links {
		if u.Links[i].Default[inet.FamilyOf(a)] {
			return &u.Links[i]
		}
	}
	return nil
}

// onLink returns the device with a subnet that contains the node's own underlay address
// and that of a peer, or nil.
func (u Underlay) onLink(own, peer netip.Addr) *Link {
	l, p := u.Bearing(own)
	if l == nil || l.Loopback || !l.Up || !p.Masked().Contains(peer) {
		return nil
	}
	return l
}
