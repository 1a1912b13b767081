// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package conntrack

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"fairlead/internal/netns"
	"fairlead/internal/nl"
)

// localTries bounds how often addresses are listed that change meanwhile.
const localTries = 5

// localAddrs returns the addresses of the namespace, for NodePorts. While some come and
// go it returns those that any of localTries listings has: one that is missing would keep
// stale flows, and one too many leads to nothing.
func localAddrs(ns *netns.NS, calls nl.Calls) (out map[netip.Addr]struct{}, err error) {
	s, err := nl.Dial(nl.Config{Protocol: unix.NETLINK_ROUTE, Namespace: ns, Calls: calls})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	out = map[netip.Addr]struct{}{}
	for range localTries {
		var m nl.Messages
		m.Begin(unix.RTM_GETADDR, 0, make([]byte, unix.SizeofIfAddrmsg)...)
		err = s.Dump(&m, func(r nl.Reply) {
			if ip, ok := localAddr(r); ok {
				out[ip] = struct{}{}
			}
		})
		if !errors.Is(err, nl.ErrInterrupted) {
			break
		}
		err = nil
	}
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	return out, nil
}

// localAddr reads an address. That of a point-to-point device is IFA_LOCAL, which others
// of IPv4 have as well.
func localAddr(r nl.Reply) (netip.Addr, bool) {
	if r.Kind != unix.RTM_NEWADDR || len(r.Body) < unix.SizeofIfAddrmsg {
		return netip.Addr{}, false
	}
	attrs := r.Body[unix.SizeofIfAddrmsg:]
	b := nl.Attr(attrs, unix.IFA_LOCAL)
	if b == nil {
		b = nl.Attr(attrs, unix.IFA_ADDRESS)
	}
	return netip.AddrFromSlice(b)
}
