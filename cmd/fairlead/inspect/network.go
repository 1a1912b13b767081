// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"fairlead/cmd/fairlead/view"
)

// loadNetwork reads the network stack of the network namespace of the process.
func loadNetwork(ctx context.Context) (*view.Network, error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open rtnetlink: %w", err)
	}
	defer h.Close()
	l := networkLoader{h: h, out: &view.Network{}, names: map[int]string{0: ""}}
	for _, part := range []func() error{l.links, l.addrs, l.routes, l.rules, l.neighbours} {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := part(); err != nil {
			return nil, err
		}
	}
	return l.out, nil
}

// networkLoader reads one Network.
type networkLoader struct {
	h     *netlink.Handle
	out   *view.Network
	names map[int]string // of links, by index
}

// whole accepts a list that the kernel changed while it was read: it is for people.
func whole(err error) error {
	if errors.Is(err, netlink.ErrDumpInterrupted) {
		return nil
	}
	return err
}

func (l *networkLoader) links() error {
	list, err := l.h.LinkList()
	if err := whole(err); err != nil {
		return fmt.Errorf("list devices: %w", err)
	}
	for _, link := range list {
		l.names[link.Attrs().Index] = link.Attrs().Name
	}
	for _, link := range list {
		a := link.Attrs()
		out := view.Link{
			Index: a.Index, Name: a.Name, Kind: link.Type(), MTU: a.MTU, MAC: a.HardwareAddr.String(), Master: l.names[a.MasterIndex],
			Up: a.Flags&net.FlagUp != 0 && a.RawFlags&unix.IFF_RUNNING != 0,
		}
		if v, ok := link.(*netlink.Vxlan); ok {
			out.VXLAN = &view.VXLAN{VNI: v.VxlanId, Port: v.Port, Local: addr(v.SrcAddr), Lower: l.names[v.VtepDevIndex]}
		}
		l.out.Links = append(l.out.Links, out)
	}
	return nil
}

func (l *networkLoader) addrs() error {
	list, err := l.h.AddrList(nil, netlink.FAMILY_ALL)
	if err := whole(err); err != nil {
		return fmt.Errorf("list addresses: %w", err)
	}
	for _, a := range list {
		for i := range l.out.Links {
			if l.out.Links[i].Index == a.LinkIndex {
				l.out.Links[i].Addrs = append(l.out.Links[i].Addrs, prefix(a.IPNet))
			}
		}
	}
	return nil
}

func (l *networkLoader) routes() error {
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		var routes []netlink.Route
		err := l.h.RouteListFilteredIter(family, &netlink.Route{}, netlink.RT_FILTER_TABLE, func(r netlink.Route) bool {
			if len(l.out.Routes)+len(routes) < view.MaxEntries {
				routes = append(routes, r)
			} else {
				l.out.LeftOut++
			}
			return true
		})
		if err := whole(err); err != nil {
			return fmt.Errorf("list routes: %w", err)
		}
		for i := range routes {
			l.out.Routes = append(l.out.Routes, l.route(&routes[i], family))
		}
	}
	return nil
}

func (l *networkLoader) route(r *netlink.Route, family int) view.Route {
	out := view.Route{
		Table: r.Table, Type: routeType(r.Type), Dst: prefix(r.Dst), Gateway: addr(r.Gw), Source: addr(r.Src), Link: l.names[r.LinkIndex],
		MTU: r.MTU, Metric: r.Priority, Protocol: int(r.Protocol),
	}
	if !out.Dst.IsValid() {
		out.Dst = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		if family == unix.AF_INET6 {
			out.Dst = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		}
	}
	if via, ok := r.Via.(*netlink.Via); ok {
		out.Gateway = addr(via.Addr)
	}
	for _, hop := range r.MultiPath {
		out.Hops = append(out.Hops, view.Hop{Gateway: addr(hop.Gw), Link: l.names[hop.LinkIndex]})
	}
	return out
}

func routeType(n int) string {
	name, ok := map[int]string{
		unix.RTN_UNICAST: "unicast", unix.RTN_LOCAL: "local", unix.RTN_BROADCAST: "broadcast", unix.RTN_ANYCAST: "anycast",
		unix.RTN_MULTICAST: "multicast", unix.RTN_BLACKHOLE: "blackhole", unix.RTN_UNREACHABLE: "unreachable",
		unix.RTN_PROHIBIT: "prohibit", unix.RTN_THROW: "throw",
	}[n]
	if !ok {
		return fmt.Sprint(n)
	}
	return name
}

func (l *networkLoader) rules() error {
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		list, err := l.h.RuleList(family)
		if err := whole(err); err != nil {
			return fmt.Errorf("list routing rules: %w", err)
		}
		for i := range list {
			r := &list[i]
			out := view.Rule{
				IPv6: family == unix.AF_INET6, Priority: max(r.Priority, 0), Table: r.Table, Src: prefix(r.Src), Dst: prefix(r.Dst),
				IIF: r.IifName, OIF: r.OifName, Mark: r.Mark, Invert: r.Invert,
			}
			if r.Mask != nil {
				out.Mask = *r.Mask
			}
			l.out.Rules = append(l.out.Rules, out)
		}
	}
	slices.SortStableFunc(l.out.Rules, func(a, b view.Rule) int { return cmp.Compare(a.Priority, b.Priority) })
	return nil
}

func (l *networkLoader) neighbours() error {
	for _, family := range []int{unix.AF_INET, unix.AF_INET6, unix.AF_BRIDGE} {
		list, err := l.h.NeighListExecute(netlink.Ndmsg{Family: uint8(family)})
		if err := whole(err); err != nil {
			return fmt.Errorf("list neighbours: %w", err)
		}
		for i := range list {
			n := &list[i]
			if len(l.out.Neighbours) == view.MaxEntries {
				l.out.LeftOut++
				continue
			}
			l.out.Neighbours = append(l.out.Neighbours, view.Neighbour{
				Link: l.names[n.LinkIndex], IP: addr(n.IP), MAC: n.HardwareAddr.String(), State: stateName(n.State), FDB: family == unix.AF_BRIDGE,
			})
		}
	}
	return nil
}

func stateName(n int) string {
	name, ok := map[int]string{
		unix.NUD_INCOMPLETE: "incomplete", unix.NUD_REACHABLE: "reachable", unix.NUD_STALE: "stale", unix.NUD_DELAY: "delay",
		unix.NUD_PROBE: "probe", unix.NUD_FAILED: "failed", unix.NUD_NOARP: "noarp", unix.NUD_PERMANENT: "permanent",
	}[n]
	if !ok {
		return fmt.Sprintf("0x%02x", n)
	}
	return name
}

func addr(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip)
	return a.Unmap()
}

func prefix(n *net.IPNet) netip.Prefix {
	if n == nil {
		return netip.Prefix{}
	}
	ones, _ := n.Mask.Size()
	return netip.PrefixFrom(addr(n.IP), ones)
}
