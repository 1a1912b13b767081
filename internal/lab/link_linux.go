// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// veth makes a pair of devices, one in each host, up and ready to send.
func veth(a *Host, aName string, b *Host, bName string) error {
	link := &netlink.Veth{
		LinkAttrs:     netlink.LinkAttrs{Name: aName},
		PeerName:      bName,
		PeerNamespace: netlink.NsFd(b.NS.Fd()),
	}
	if err := a.links.LinkAdd(link); err != nil {
		return fmt.Errorf("add veth %s in %s to %s in %s: %w", aName, a.Name, bName, b.Name, err)
	}
	if err := errors.Join(a.up(aName), b.up(bName)); err != nil {
		return err
	}
	return errors.Join(a.waitUp(aName), b.waitUp(bName))
}

// waitUp waits until the kernel has noticed the carrier of a device that was set
// up. Before that it drops the packets of the device, and the first one, often a
// neighbour solicitation, is sent again only a second later.
func (h *Host) waitUp(name string) error {
	return h.poll("carrier of "+name, func() (bool, error) {
		l, err := h.link(name)
		return err == nil && l.Attrs().OperState == netlink.OperUp, err
	})
}

// poll waits until ok is true, or fails.
func (h *Host) poll(what string, ok func() (bool, error)) error {
	const interval, patience = time.Millisecond, 20 * time.Second
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for range int(patience / interval) {
		if done, err := ok(); done || err != nil {
			return err
		}
		<-tick.C
	}
	return fmt.Errorf("no %s in %s after %v", what, h.Name, patience)
}

// bridge makes a bridge and sets it up.
func (h *Host) bridge(name string) error {
	// A bridge whose address is not set takes that of its lowest port, and so
	// changes it whenever ports come and go.
	mac := net.HardwareAddr{0x02, 0x66, 0x6c, 0, 0, 1}
	// Snooping without a querier on the link drops neighbour discovery.
	snooping := false
	link := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: name, HardwareAddr: mac}, MulticastSnooping: &snooping}
	if err := h.links.LinkAdd(link); err != nil {
		return fmt.Errorf("add bridge %s in %s: %w", name, h.Name, err)
	}
	return h.up(name)
}

// enslave makes port a port of bridge.
func (h *Host) enslave(port, bridge string, hairpin bool) error {
	p, err := h.link(port)
	if err != nil {
		return err
	}
	b, err := h.link(bridge)
	if err != nil {
		return err
	}
	if err := h.links.LinkSetMaster(p, b); err != nil {
		return fmt.Errorf("set master of %s in %s: %w", port, h.Name, err)
	}
	if hairpin {
		if err := h.links.LinkSetHairpin(p, true); err != nil {
			return fmt.Errorf("set hairpin of %s in %s: %w", port, h.Name, err)
		}
	}
	return nil
}

func (h *Host) link(name string) (netlink.Link, error) {
	l, err := h.links.LinkByName(name)
	if err != nil {
		return nil, fmt.Errorf("find device %s in %s: %w", name, h.Name, err)
	}
	return l, nil
}

func (h *Host) up(name string) error {
	l, err := h.link(name)
	if err != nil {
		return err
	}
	if err := h.links.LinkSetUp(l); err != nil {
		return fmt.Errorf("set up %s in %s: %w", name, h.Name, err)
	}
	return nil
}

// AddAddr gives device dev an address, usable at once: without duplicate
// address detection.
func (h *Host) AddAddr(dev string, p netip.Prefix) error {
	l, err := h.link(dev)
	if err != nil {
		return err
	}
	addr := &netlink.Addr{IPNet: ipNet(p)}
	if p.Addr().Is6() {
		addr.Flags = unix.IFA_F_NODAD
	}
	if err := h.links.AddrAdd(l, addr); err != nil {
		return fmt.Errorf("add address %s to %s in %s: %w", p, dev, h.Name, err)
	}
	return h.waitLocal(p.Addr())
}

// waitLocal waits until the kernel takes packets for an address of its own: an
// IPv6 address gets its route from a work queue (addrconf_dad_work).
func (h *Host) waitLocal(a netip.Addr) error {
	return h.poll(fmt.Sprintf("route to its own address %s", a), func() (bool, error) {
		routes, err := h.links.RouteGet(a.AsSlice())
		return err == nil && len(routes) > 0 && routes[0].Type == unix.RTN_LOCAL, nil
	})
}

// RemoveAddr takes an address away from device dev.
func (h *Host) RemoveAddr(dev string, p netip.Prefix) error {
	l, err := h.link(dev)
	if err != nil {
		return err
	}
	if err := h.links.AddrDel(l, &netlink.Addr{IPNet: ipNet(p)}); err != nil {
		return fmt.Errorf("remove address %s from %s in %s: %w", p, dev, h.Name, err)
	}
	return nil
}

// SetRoute sends packets for dst to gateway via, which need not lie in a prefix
// of dev; without a gateway dst is on the link itself.
func (h *Host) SetRoute(dst netip.Prefix, via netip.Addr, dev string) error {
	l, err := h.link(dev)
	if err != nil {
		return err
	}
	r := &netlink.Route{Dst: ipNet(dst), LinkIndex: l.Attrs().Index}
	if via.IsValid() {
		r.Gw = via.AsSlice()
		r.Flags = int(netlink.FLAG_ONLINK)
	} else if dst.Addr().Is4() {
		r.Scope = netlink.SCOPE_LINK
	}
	if err := h.links.RouteReplace(r); err != nil {
		return fmt.Errorf("set route %s via %s dev %s in %s: %w", dst, via, dev, h.Name, err)
	}
	return nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
