// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package sysctl

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"fairlead/internal/netns"
	"fairlead/internal/nl"
)

// Watch calls changed when forwarding, a reverse path filter or another setting of an
// interface may have changed, when an interface with IPv4 or IPv6 comes, and at first;
// it returns nil when ctx is done. A nil namespace is that of the process. The kernel
// notifies of these settings on its own (RTM_NEWNETCONF, 3.8), whoever changes them.
func Watch(ctx context.Context, ns *netns.NS, changed func()) error {
	s, err := nl.Dial(nl.Config{
		Protocol: unix.NETLINK_ROUTE, Namespace: ns,
		Groups: []uint32{unix.RTNLGRP_IPV4_NETCONF, unix.RTNLGRP_IPV6_NETCONF},
	})
	if err != nil {
		return fmt.Errorf("watch kernel settings: %w", err)
	}
	defer func() { _ = s.Close() }()
	if err := s.Listen(ctx, func(nl.Reply) {}, changed, changed); err != nil {
		return fmt.Errorf("watch kernel settings: %w", err)
	}
	return nil
}

// probe is an address that only a default route leads to (RFC 5737, TEST-NET-1).
var probe = net.IPv4(192, 0, 2, 1)

// Uplinks returns the devices, in the network namespace of the calling thread, by which
// packets of pods leave the node and come back: those that have one of the addresses,
// and the one of the IPv4 default route.
func Uplinks(addrs []netip.Addr) ([]string, error) {
	var indices []int
	list, err := netlink.AddrList(nil, unix.AF_UNSPEC)
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	for _, a := range list {
		if ip, ok := netip.AddrFromSlice(a.IP); ok && slices.Contains(addrs, ip.Unmap()) {
			indices = append(indices, a.LinkIndex)
		}
	}
	routes, err := netlink.RouteGet(probe)
	if err != nil && !errors.Is(err, unix.ENETUNREACH) && !errors.Is(err, unix.EHOSTUNREACH) {
		return nil, fmt.Errorf("look up the default route: %w", err)
	}
	for _, r := range routes {
		indices = append(indices, r.LinkIndex)
	}
	var out []string
	for _, i := range indices {
		// A device that went away meanwhile passes nothing.
		if l, err := netlink.LinkByIndex(i); err == nil && l.Attrs().Flags&net.FlagLoopback == 0 {
			out = append(out, l.Attrs().Name)
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}
