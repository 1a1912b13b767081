// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package rebuild

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"fairlead/cmd/fairlead-lab/rebuild/plan"
	"fairlead/cmd/fairlead/view"
	"fairlead/internal/lab"
)

// addLinks makes the devices that belong to no pod.
func (n *Node) addLinks(context.Context) error {
	for _, p := range n.plan.Loopback {
		if !p.Addr().IsLoopback() || p.Bits() != 8 && !p.IsSingleIP() { // the kernel gave it 127.0.0.1/8 and ::1
			if err := n.addAddr("lo", p); err != nil {
				return err
			}
		}
	}
	for i := range n.plan.Links {
		l := &n.plan.Links[i]
		if err := errors.Join(n.addLink(l), n.dress(&l.Link)); err != nil {
			return fmt.Errorf("device %s: %w", l.Name, err)
		}
	}
	return nil
}

func (n *Node) addLink(l *plan.Link) error {
	attrs := netlink.LinkAttrs{Name: l.Name, MTU: l.MTU}
	switch l.Role {
	case plan.Bridge:
		snooping := false // nothing on the link asks who listens
		return n.Netlink().LinkAdd(&netlink.Bridge{LinkAttrs: attrs, MulticastSnooping: &snooping})
	case plan.Dummy:
		return n.Netlink().LinkAdd(&netlink.Dummy{LinkAttrs: attrs})
	case plan.VXLAN:
		v := &netlink.Vxlan{LinkAttrs: attrs, VxlanId: l.VXLAN.VNI, Port: l.VXLAN.Port, Learning: false}
		if l.VXLAN.Local.IsValid() {
			v.SrcAddr = l.VXLAN.Local.AsSlice()
		}
		if l.VXLAN.Lower != "" {
			lower, err := n.Link(l.VXLAN.Lower)
			if err != nil {
				return err
			}
			v.VtepDevIndex = lower.Attrs().Index
		}
		return n.Netlink().LinkAdd(v)
	}
	if err := lab.Wire(n.Host, l.Name, n.Outside, l.Name, l.MTU); err != nil {
		return err
	}
	return n.greet(l)
}

// greet gives the other end of an uplink the addresses of the gateways, and sends
// everything to the node.
func (n *Node) greet(l *plan.Link) error {
	for _, p := range l.Outside {
		if !n.ipv6 && p.Addr().Is6() {
			continue
		}
		if err := n.Outside.AddAddr(l.Name, p); err != nil {
			return err
		}
		for _, own := range l.Addrs {
			a := own.Addr()
			if a.Is4() != p.Addr().Is4() || a.IsLinkLocalUnicast() {
				continue
			}
			err := n.Outside.SetRoute(netip.PrefixFrom(a, a.BitLen()), netip.Addr{}, l.Name)
			if err = errors.Join(err, n.Outside.SetRoute(netip.PrefixFrom(unspecified(a), 0), a, l.Name)); err != nil {
				return err
			}
			break
		}
	}
	return nil
}

func unspecified(ip netip.Addr) netip.Addr {
	if ip.Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

// dress gives a device of the node what the bundle's had: its MAC and bridge, state and
// addresses.
func (n *Node) dress(l *view.Link) error {
	err := setMAC(n.Host, l.Name, l.MAC)
	link, missing := n.Link(l.Name)
	if err := errors.Join(err, missing); err != nil {
		return err
	}
	if l.Master != "" {
		if err := n.enslave(link, l.Master); err != nil {
			return err
		}
	}
	if l.Up {
		err = n.Netlink().LinkSetUp(link)
	} else {
		err = n.Netlink().LinkSetDown(link)
	}
	if err != nil {
		return fmt.Errorf("set state: %w", err)
	}
	for _, p := range l.Addrs {
		if err := n.addAddr(l.Name, p); err != nil {
			return err
		}
	}
	return nil
}

// enslave makes a device a port of a bridge. Another master is none here.
func (n *Node) enslave(link netlink.Link, master string) error {
	m, err := n.Link(master)
	if err != nil || m.Type() != "bridge" {
		n.leaveOut("Device %s is no port of %s, which is no bridge here.", link.Attrs().Name, master)
		return nil
	}
	if err := n.Netlink().LinkSetMaster(link, m); err != nil {
		return fmt.Errorf("set master %s: %w", master, err)
	}
	return n.Netlink().LinkSetHairpin(link, true) // as the bridge plugin does
}

// addAddr adds an address without the route to its subnet, which the bundle has if the
// node had it.
func (n *Node) addAddr(device string, p netip.Prefix) error {
	if p.Addr().Is6() && !n.ipv6 {
		n.leaveOut("Address %s is left out, because this kernel has no IPv6.", p)
		return nil
	}
	link, err := n.Link(device)
	if err != nil {
		return err
	}
	a := &netlink.Addr{IPNet: &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}, Flags: unix.IFA_F_NOPREFIXROUTE}
	if p.Addr().Is6() {
		a.Flags |= unix.IFA_F_NODAD
	}
	if err := n.Netlink().AddrReplace(link, a); err != nil {
		n.leaveOut("Address %s of %s is left out: %v.", p, device, err)
	}
	return nil
}

// setMAC sets the address of a device, unless it is not known or none.
func setMAC(h *lab.Host, device, mac string) error {
	hw, err := net.ParseMAC(mac)
	if err != nil || len(hw) != 6 || hw[0]&1 != 0 || strings.Trim(mac, "0:") == "" {
		return nil // a device without Ethernet, such as a tunnel, or no address of a device
	}
	link, err := h.Link(device)
	if err != nil {
		return err
	}
	if err := h.Netlink().LinkSetHardwareAddr(link, hw); err != nil {
		return fmt.Errorf("set MAC of %s: %w", device, err)
	}
	return nil
}

// setNodeSysctls writes the settings of the node. It does so before there are devices,
// because some of them change those of all devices.
func (n *Node) setNodeSysctls(context.Context) error {
	if n.ipv6 {
		// Devices get no address but those of the bundle.
		if err := n.Sysctl("ipv6/conf/default/addr_gen_mode", "1"); err != nil {
			return err
		}
	}
	n.setSysctls(func(device string) bool { return device == "all" || device == "default" || device == "" })
	return nil
}

// setDeviceSysctls writes the settings of devices.
func (n *Node) setDeviceSysctls(context.Context) error {
	n.setSysctls(func(device string) bool { return device != "all" && device != "default" && device != "" })
	return nil
}

// setSysctls writes the settings of the devices that which selects; "" are those of none.
// A setting that this kernel does not have is left out.
func (n *Node) setSysctls(which func(device string) bool) {
	left := map[string]bool{}
	for _, s := range n.plan.Sysctls {
		parts, device := strings.Split(s.File, "/"), ""
		if len(parts) == 4 {
			device = parts[2]
		}
		if !which(device) {
			continue
		}
		if err := n.Sysctl(s.File, s.Value); err != nil && !left[parts[len(parts)-1]] {
			left[parts[len(parts)-1]] = true
			if !errors.Is(err, os.ErrNotExist) || n.ipv6 || parts[0] != "ipv6" {
				n.leaveOut("Setting %s is left out: %v.", s.File, err)
			}
		}
	}
}
