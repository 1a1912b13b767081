// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"cmp"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"fairlead/internal/chaos"
	"fairlead/internal/lab"
)

// tunnelPrefix begins the names of the overlay's devices.
const tunnelPrefix = "fairlead"

// network takes an object of the overlay away.
func (r *runner) network(s chaos.Step) (string, error) {
	node := r.nodeOf(s)
	if s.Kind == chaos.Sysctl {
		file := [...]string{"ipv4/ip_forward", "ipv6/conf/all/forwarding", "ipv4/conf/eth0/forwarding"}[s.Pick%3]
		return file, node.Sysctl(file, "0")
	}
	links, err := tunnels(node)
	if err != nil || len(links) == 0 {
		return "there is no tunnel", err
	}
	link := links[s.Pick%uint64(len(links))]
	name := link.Attrs().Name
	handle := node.Netlink()
	switch s.Kind {
	case chaos.Device:
		return name, gone(handle.LinkDel(link))
	case chaos.Route:
		list, err := routes(node, link)
		if err != nil || len(list) == 0 {
			return "there is no route", gone(err)
		}
		one := list[s.Pick%uint64(len(list))]
		return fmt.Sprintf("%s dev %s", one.Dst, name), gone(handle.RouteDel(&one))
	}
	family := netlink.FAMILY_ALL
	if s.Kind == chaos.FDB {
		family = unix.AF_BRIDGE
	}
	list, err := neighbours(node, link, family)
	if err != nil || len(list) == 0 {
		return "there is no entry", gone(err)
	}
	one := list[s.Pick%uint64(len(list))]
	return fmt.Sprintf("%s %s dev %s", one.IP, one.HardwareAddr, name), gone(handle.NeighDel(&one))
}

// gone ignores the error of an object that somebody else has removed meanwhile: the
// agent makes devices anew, too.
func gone(err error) error {
	for _, errno := range []error{unix.ENODEV, unix.ENOENT, unix.ESRCH} {
		if err != nil && strings.Contains(err.Error(), errno.Error()) {
			return nil
		}
	}
	return err
}

// tunnels returns the devices of the overlay, by name.
func tunnels(node *lab.Node) ([]netlink.Link, error) {
	all, err := node.Netlink().LinkList()
	if err != nil {
		return nil, fmt.Errorf("list devices of %s: %w", node.Name, err)
	}
	links := slices.DeleteFunc(all, func(l netlink.Link) bool { return !strings.HasPrefix(l.Attrs().Name, tunnelPrefix) })
	slices.SortFunc(links, func(a, b netlink.Link) int { return cmp.Compare(a.Attrs().Name, b.Attrs().Name) })
	return links, nil
}

// routes returns the routes to pods by a device.
func routes(node *lab.Node, link netlink.Link) ([]netlink.Route, error) {
	list, err := node.Netlink().RouteList(link, netlink.FAMILY_ALL)
	list = slices.DeleteFunc(list, func(r netlink.Route) bool {
		return r.Dst == nil || r.Protocol == unix.RTPROT_KERNEL || isLinkLocal(r.Dst)
	})
	slices.SortFunc(list, func(a, b netlink.Route) int { return cmp.Compare(a.Dst.String(), b.Dst.String()) })
	return list, err
}

func isLinkLocal(n *net.IPNet) bool { return n.IP.IsLinkLocalUnicast() || n.IP.IsMulticast() }

// neighbours returns the permanent entries of a device, in order.
func neighbours(node *lab.Node, link netlink.Link, family int) ([]netlink.Neigh, error) {
	list, err := node.Netlink().NeighList(link.Attrs().Index, family)
	list = slices.DeleteFunc(list, func(n netlink.Neigh) bool { return n.State&netlink.NUD_PERMANENT == 0 || n.IP.IsMulticast() })
	slices.SortFunc(list, func(a, b netlink.Neigh) int { return cmp.Compare(words(a), words(b)) })
	return list, err
}

func words(n netlink.Neigh) string { return n.IP.String() + " " + n.HardwareAddr.String() }
