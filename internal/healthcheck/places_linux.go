// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package healthcheck

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	vishnetns "github.com/vishvananda/netns"
)

// want returns the sockets that should be open.
func (s *Server) want() map[socket]struct{} {
	s.mu.RLock()
	defer s.mu.RUnlock()
	want := map[socket]struct{}{}
	if len(s.owners) == 0 {
		return want
	}
	places := s.places()
	for port := range s.owners {
		for _, k := range places {
			k.port = port
			want[k] = struct{}{}
		}
	}
	return want
}

// places returns where each port is wanted.
func (s *Server) places() []socket {
	var out []socket
	all4, all6 := coversAll(s.on, true), coversAll(s.on, false)
	if all4 && all6 || len(s.on) == 0 {
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
		in := slices.ContainsFunc(s.on, func(p netip.Prefix) bool { return p.Contains(ip) })
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

// addrs returns the addresses of the node but for link-local ones, which would
// need an interface to listen on.
func (s *Server) addrs() []netip.Addr {
	var out []netip.Addr
	_ = s.inside(func() error {
		list, err := net.InterfaceAddrs()
		for _, a := range list {
			if p, err := netip.ParsePrefix(a.String()); err == nil && !p.Addr().IsLinkLocalUnicast() {
				out = append(out, p.Addr().Unmap())
			}
		}
		return err // as good as no address: then all are served
	})
	return out
}

// watch pokes Run when addresses come or go, until ctx ends.
func (s *Server) watch(ctx context.Context) {
	for ctx.Err() == nil {
		updates := make(chan netlink.AddrUpdate)
		opts := netlink.AddrSubscribeOptions{}
		if s.opts.NS != nil {
			h := vishnetns.NsHandle(s.opts.NS.Fd())
			opts.Namespace = &h
		}
		if err := netlink.AddrSubscribeWithOptions(updates, ctx.Done(), opts); err == nil {
			s.poke() // what came before
			for range updates {
				s.poke()
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}
