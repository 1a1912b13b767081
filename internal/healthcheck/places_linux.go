// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package healthcheck

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	vishnetns "github.com/vishvananda/netns"
)

// want returns the sockets that should be open, in a fixed order.
func (s *Server) want() []socket {
	s.mu.RLock()
	ports, on := slices.Sorted(maps.Keys(s.owners)), s.on
	s.mu.RUnlock() // the kernel takes long to list many addresses
	if len(ports) == 0 {
		return nil
	}
	places := s.places(on)
	want := make([]socket, 0, len(ports)*len(places))
	for _, port := range ports {
		for _, k := range places {
			k.port = port
			want = append(want, k)
		}
	}
	return want
}

// places returns the addresses for each port.
func (s *Server) places(on []netip.Prefix) []socket {
	var out []socket
	all4, all6 := coversAll(on, true), coversAll(on, false)
	if all4 && all6 || len(on) == 0 {
		return []socket{{network: "tcp"}}
	}
	if all4 {
		out = append(out, socket{network: "tcp4", addr: netip.IPv4Unspecified()})
	}
	if all6 {
		out = append(out, socket{network: "tcp6", addr: netip.IPv6Unspecified()})
	}
	for _, ip := range s.addrs() {
		of4 := ip.Is4()
		in := slices.ContainsFunc(on, func(p netip.Prefix) bool { return p.Contains(ip) })
		if !in || of4 && all4 || !of4 && all6 {
			continue
		}
		network := "tcp6"
		if of4 {
			network = "tcp4"
		}
		out = append(out, socket{network: network, addr: ip})
	}
	if len(out) == 0 {
		return []socket{{network: "tcp"}}
	}
	return out
}

func coversAll(on []netip.Prefix, v4 bool) bool {
	return slices.ContainsFunc(on, func(p netip.Prefix) bool { return p.Bits() == 0 && p.Addr().Is4() == v4 })
}

// addrs returns the addresses of the node without link-local ones, which would need an
// interface to listen on.
func (s *Server) addrs() []netip.Addr {
	var out []netip.Addr
	_ = s.inside(func() error {
		list, err := s.interfaceAddrs()
		for _, a := range list {
			if p, err := netip.ParsePrefix(a.String()); err == nil && !p.Addr().IsLinkLocalUnicast() {
				out = append(out, p.Addr().Unmap())
			}
		}
		return err // without a known address, all are served
	})
	return out
}

// watch wakes Run when addresses change, until ctx is done.
func (s *Server) watch(ctx context.Context) {
	for ctx.Err() == nil {
		s.watchOnce(ctx)
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

// watchOnce is watch until the subscription ends, for example because the kernel had no room for
// a notification.
func (s *Server) watchOnce(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // the library keeps the socket, and a goroutine, until then
	updates := make(chan netlink.AddrUpdate)
	opts := netlink.AddrSubscribeOptions{}
	if s.opts.NS != nil {
		h := vishnetns.NsHandle(s.opts.NS.Fd())
		opts.Namespace = &h
	}
	if s.subscribe(updates, ctx.Done(), opts) != nil {
		return
	}
	s.inbox.Wake() // addresses may have changed before
	for range updates {
		s.inbox.Wake()
	}
}
