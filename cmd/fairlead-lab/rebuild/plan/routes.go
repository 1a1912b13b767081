// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"net/netip"
	"slices"

	"fairlead/cmd/fairlead/view"
)

// RouteTypes are the types of routes that people make.
func RouteTypes() []string {
	return []string{"unicast", "local", "blackhole", "unreachable", "prohibit", "throw"}
}

// tableLocal is the routing table that the kernel fills (RT_TABLE_LOCAL).
const tableLocal = 255

// addRoutes adds the routes whose devices are built. The kernel makes those to its own
// addresses, and of broadcast, anycast and multicast addresses, itself.
func (b *builder) addRoutes() {
	odd, gone, left := 0, 0, b.Network.LeftOut
	for i := range b.Network.Routes {
		r := &b.Network.Routes[i]
		switch {
		case slices.Contains([]string{"broadcast", "anycast", "multicast"}, r.Type):
		case r.Type == "local" && r.Table == tableLocal && r.Dst.IsSingleIP() && b.own[r.Dst.Addr()]:
		case !validRoute(r):
			odd++
		case !b.hasDevices(r):
			gone++
		case len(b.out.Routes) == maxRoutes:
			left++
		default:
			b.out.Routes = append(b.out.Routes, *r)
		}
	}
	if odd > 0 {
		b.leaveOut("%d routes are left out, because they have an address, a table or a type that the kernel does not have.", odd)
	}
	if gone > 0 {
		b.leaveOut("%d routes are left out, because their devices are.", gone)
	}
	if left > 0 {
		b.leaveOut("%d routes and neighbours are left out, because there are too many.", left)
	}
	// A gateway is reached by a route without one.
	slices.SortStableFunc(b.out.Routes, func(x, y view.Route) int { return rank(&x) - rank(&y) })
}

func rank(r *view.Route) int {
	if r.Gateway.IsValid() || len(r.Hops) > 0 {
		return 1
	}
	return 0
}

func validRoute(r *view.Route) bool {
	ok := r.Dst.IsValid() && r.Dst == r.Dst.Masked() && isPlain(r.Dst.Addr()) && slices.Contains(RouteTypes(), r.Type) &&
		r.Table > 0 && r.Table < 1<<32 && r.MTU >= 0 && r.MTU <= 65536 && r.Metric >= 0 && r.Metric < 1<<32 && r.Protocol >= 0 && r.Protocol < 256 &&
		len(r.Hops) <= maxAddrs && fits(r.Source, r.Dst)
	for _, gw := range append(gateways(r), r.Gateway) {
		ok = ok && (!gw.IsValid() || isPlain(gw))
	}
	return ok
}

func gateways(r *view.Route) (out []netip.Addr) {
	for _, h := range r.Hops {
		out = append(out, h.Gateway)
	}
	return out
}

// fits reports whether an address has the family of a prefix, or is none.
func fits(ip netip.Addr, p netip.Prefix) bool {
	return !ip.IsValid() || isPlain(ip) && ip.Is4() == p.Addr().Is4()
}

func isPlain(ip netip.Addr) bool { return ip.IsValid() && !ip.Is4In6() && ip.Zone() == "" }

// hasDevices reports whether each device of a route is built.
func (b *builder) hasDevices(r *view.Route) bool {
	for _, h := range r.Hops {
		if !b.kept[h.Link] {
			return false
		}
	}
	return b.kept[r.Link]
}

// addRules adds the rules that say which routing table a packet uses.
func (b *builder) addRules() {
	left := 0
	for i := range b.Network.Rules {
		r := &b.Network.Rules[i]
		ok := r.Priority >= 0 && r.Priority < 1<<32 && r.Table > 0 && r.Table < 1<<32 && isRulePrefix(r.Src, r.IPv6) && isRulePrefix(r.Dst, r.IPv6) &&
			len(r.IIF) < 16 && len(r.OIF) < 16
		if !ok || len(b.out.Rules) == maxRules {
			left++
			continue
		}
		b.out.Rules = append(b.out.Rules, *r)
	}
	if left > 0 {
		b.leaveOut("%d routing rules are left out, because they are invalid or more than %d.", left, maxRules)
	}
}

func isRulePrefix(p netip.Prefix, v6 bool) bool {
	return !p.IsValid() || isPlain(p.Addr()) && p.Addr().Is6() == v6
}

// addNeighbours adds the entries that someone made, which are those of the overlay. The
// kernel learns the others again.
func (b *builder) addNeighbours() {
	left := 0
	for i := range b.Network.Neighbours {
		n := &b.Network.Neighbours[i]
		l := b.links[n.Link]
		made := n.State == "permanent" && n.MAC != "" && n.IP.IsValid() && (!n.FDB || l != nil && l.VXLAN != nil)
		switch {
		case !made || !b.kept[n.Link] || n.Link == "" || b.ofPod[n.Link]:
		case !isPlain(n.IP) || len(b.out.Neighbours) == maxNeighbours:
			left++
		default:
			b.out.Neighbours = append(b.out.Neighbours, *n)
		}
	}
	if left > 0 {
		b.leaveOut("%d neighbours are left out, because they are invalid or more than %d.", left, maxNeighbours)
	}
}
