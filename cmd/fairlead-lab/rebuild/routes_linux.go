// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package rebuild

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"fairlead/cmd/fairlead/view"
)

// addRoutes adds the routes and rules of the bundle. A route that the kernel has already,
// or refuses, does not keep the others away.
func (n *Node) addRoutes(ctx context.Context) error {
	if err := n.addRules(); err != nil {
		return err
	}
	refused := 0
	var last error
	for i := range n.plan.Routes {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		r := &n.plan.Routes[i]
		if r.Dst.Addr().Is6() && !n.ipv6 {
			continue
		}
		if err := n.addRoute(r); err != nil {
			refused++
			last = fmt.Errorf("%s in table %d: %w", r.Dst, r.Table, err)
		}
	}
	if refused > 0 {
		n.leaveOut("%d routes are left out, because the kernel refuses them; the last one is %v.", refused, last)
	}
	return nil
}

// addRoute adds a route. Gateways need not be in a subnet of the node, as for routes of
// overlays.
func (n *Node) addRoute(r *view.Route) error {
	out := netlink.Route{
		Dst: ipNet(r.Dst), Table: r.Table, Type: routeType(r.Type), Priority: r.Metric, MTU: r.MTU, Protocol: netlink.RouteProtocol(r.Protocol),
	}
	if r.Source.IsValid() {
		out.Src = r.Source.AsSlice()
	}
	var err error
	if out.LinkIndex, err = n.index(r.Link); err != nil {
		return err
	}
	out.Gw, out.Via = gateway(r.Dst, r.Gateway)
	for _, h := range r.Hops {
		hop := &netlink.NexthopInfo{}
		if hop.LinkIndex, err = n.index(h.Link); err != nil {
			return err
		}
		if hop.Gw, hop.Via = gateway(r.Dst, h.Gateway); hop.Gw != nil || hop.Via != nil {
			hop.Flags = int(netlink.FLAG_ONLINK)
		}
		out.MultiPath = append(out.MultiPath, hop)
	}
	if r.Dst.Addr().Is4() && !r.Gateway.IsValid() && len(r.Hops) == 0 {
		out.Scope = scope(r.Type)
	}
	if out.Gw != nil || out.Via != nil {
		out.Flags = int(netlink.FLAG_ONLINK)
	}
	// Several devices may have a route to one subnet, so a route is appended.
	if err = n.Netlink().RouteAppend(&out); err != nil && out.Flags != 0 && !errors.Is(err, unix.EEXIST) {
		out.Flags = 0
		err = n.Netlink().RouteAppend(&out)
	}
	if errors.Is(err, unix.EEXIST) {
		return nil
	}
	return err
}

// gateway returns a gateway in the way in which its family asks for it (RFC 5549).
func gateway(dst netip.Prefix, gw netip.Addr) (net.IP, netlink.Destination) {
	switch {
	case !gw.IsValid():
		return nil, nil
	case dst.Addr().Is4() && gw.Is6():
		return nil, &netlink.Via{AddrFamily: unix.AF_INET6, Addr: gw.AsSlice()}
	}
	return gw.AsSlice(), nil
}

// index returns the number of a device, 0 for none.
func (n *Node) index(name string) (int, error) {
	if name == "" {
		return 0, nil
	}
	link, err := n.Link(name)
	if err != nil {
		return 0, err
	}
	return link.Attrs().Index, nil
}

func routeType(name string) int {
	return map[string]int{
		"unicast": unix.RTN_UNICAST, "local": unix.RTN_LOCAL, "blackhole": unix.RTN_BLACKHOLE,
		"unreachable": unix.RTN_UNREACHABLE, "prohibit": unix.RTN_PROHIBIT, "throw": unix.RTN_THROW,
	}[name]
}

func scope(kind string) netlink.Scope {
	switch kind {
	case "local":
		return netlink.SCOPE_HOST
	case "unicast":
		return netlink.SCOPE_LINK
	}
	return netlink.SCOPE_UNIVERSE
}

func ipNet(p netip.Prefix) *net.IPNet {
	if !p.IsValid() {
		return nil
	}
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// addRules replaces the rules that say which routing table a packet uses. A bundle of a
// node without a family has none of that family, and leaves those of the kernel.
func (n *Node) addRules() error {
	for family, v6 := range map[int]bool{unix.AF_INET: false, unix.AF_INET6: true} {
		var want []*netlink.Rule
		for i := range n.plan.Rules {
			if n.plan.Rules[i].IPv6 == v6 {
				want = append(want, rule(&n.plan.Rules[i], family))
			}
		}
		if len(want) == 0 || v6 && !n.ipv6 {
			continue
		}
		if err := n.deleteRules(family); err != nil {
			return err
		}
		for _, r := range want {
			if err := n.Netlink().RuleAdd(r); err != nil && !errors.Is(err, unix.EEXIST) {
				n.leaveOut("Routing rule %s is left out: %v.", r, err)
			}
		}
	}
	return nil
}

func (n *Node) deleteRules(family int) error {
	old, err := n.Netlink().RuleList(family)
	if err != nil {
		return fmt.Errorf("list routing rules: %w", err)
	}
	for i := range old {
		old[i].Family = family
		if err := n.Netlink().RuleDel(&old[i]); err != nil {
			return fmt.Errorf("delete routing rule %s: %w", &old[i], err)
		}
	}
	return nil
}

func rule(r *view.Rule, family int) *netlink.Rule {
	out := netlink.NewRule()
	out.Family, out.Priority, out.Table, out.Src, out.Dst = family, r.Priority, r.Table, ipNet(r.Src), ipNet(r.Dst)
	out.IifName, out.OifName, out.Invert, out.Mark = r.IIF, r.OIF, r.Invert, r.Mark
	if r.Mask != 0 {
		out.Mask = &r.Mask
	}
	return out
}

// addNeighbours adds the entries of the overlay.
func (n *Node) addNeighbours(ctx context.Context) error {
	refused := 0
	var last error
	for i := range n.plan.Neighbours {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		nb := &n.plan.Neighbours[i]
		if err := n.addNeighbour(nb); err != nil {
			refused++
			last = fmt.Errorf("%s of %s: %w", nb.IP, nb.Link, err)
		}
	}
	if refused > 0 {
		n.leaveOut("%d neighbours are left out, because the kernel refuses them; the last one is %v.", refused, last)
	}
	return nil
}

func (n *Node) addNeighbour(nb *view.Neighbour) error {
	hw, err := net.ParseMAC(nb.MAC)
	if err != nil {
		return err
	}
	out := &netlink.Neigh{State: netlink.NUD_PERMANENT, IP: nb.IP.AsSlice(), HardwareAddr: hw}
	if out.LinkIndex, err = n.index(nb.Link); err != nil {
		return err
	}
	if nb.FDB {
		out.Family, out.Flags = unix.AF_BRIDGE, netlink.NTF_SELF
		return n.Netlink().NeighAppend(out)
	}
	return n.Netlink().NeighSet(out)
}
