// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"errors"
	"net/netip"

	"github.com/vishvananda/netlink"
)

// NewHost makes a host that belongs to no cluster. The caller closes it.
func NewHost(name string, ipv6 bool) (*Host, error) { return newHost(Config{IPv6: ipv6}, name) }

// Wire joins two hosts by a pair of devices with an MTU, which are up.
func Wire(a *Host, aName string, b *Host, bName string, mtu int) error {
	if err := veth(a, aName, b, bName); err != nil || mtu == 0 {
		return err
	}
	return errors.Join(a.setMTU(aName, mtu), b.setMTU(bName, mtu))
}

func (h *Host) setMTU(name string, mtu int) error {
	l, err := h.link(name)
	if err != nil {
		return err
	}
	return h.links.LinkSetMTU(l, mtu)
}

// Connect gives device eth0 its addresses, and a default route over each gateway, which
// need not be in their prefixes.
func (h *Host) Connect(addrs, gateways []netip.Prefix) error { return h.connect(addrs, gateways) }

// Link returns a device of the host by its name.
func (h *Host) Link(name string) (netlink.Link, error) { return h.link(name) }
