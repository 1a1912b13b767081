// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package view

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Detour is what takes packets away from the overlay.
type Detour struct {
	Evidence string // without a subject: "the route ... takes them"
	Remedy   string // what to type
}

// Overlay is what tells routes of fairlead from those of other programs.
type Overlay struct {
	Protocol uint8          // of its routes
	Pods     []netip.Prefix // ranges of all pods
}

// DetourOf returns what another program made that takes a packet to a pod of another node
// away from the overlay: a route that is more specific or comes first, or a rule that asks
// another routing table. It returns false if the overlay's route is used, or if there is no
// route but the default one of the main table.
func (n *Network) DetourOf(w Way, o Overlay) (Detour, bool) {
	r, rule, ok := n.chosen(w)
	switch {
	case !ok || r.Protocol == int(o.Protocol):
		return Detour{}, false
	case rule.Table != tableMain:
		return Detour{
			Evidence: fmt.Sprintf("the routing rule of another program with priority %d (%s) sends them to table %d, whose route is %s", rule.Priority, rule, rule.Table, &r),
			Remedy:   fmt.Sprintf("let packets for pods pass before the rule: ip %srule add to %s lookup main priority %d; or remove it: ip %[1]srule del priority %[4]d", flag6(w.Dst), o.around(w.Dst), max(rule.Priority-1, 1), rule.Priority),
		}, true
	case r.Dst.Bits() > 0:
		return Detour{
			Evidence: fmt.Sprintf("the route %s of another program takes them", &r),
			Remedy:   fmt.Sprintf("find out which program made the route, and remove it: ip %sroute del %s", flag6(w.Dst), &r),
		}, true
	}
	return Detour{}, false
}

// around returns the range of pods that has an address.
func (o *Overlay) around(ip netip.Addr) netip.Prefix {
	for _, p := range o.Pods {
		if p.Contains(ip) {
			return p.Masked()
		}
	}
	return netip.PrefixFrom(ip, ip.BitLen())
}

func flag6(ip netip.Addr) string {
	if ip.Is6() {
		return "-6 "
	}
	return ""
}

// Inside returns an address behind each route of another program that is inside a range,
// in routing tables other than that of local addresses.
func (n *Network) Inside(p netip.Prefix, o Overlay) (out []netip.Addr) {
	for i := range n.Routes {
		r := &n.Routes[i]
		if r.Table != tableLocal && r.Protocol != int(o.Protocol) && r.Dst.Bits() >= p.Bits() && p.Overlaps(r.Dst) {
			out = append(out, r.Dst.Addr())
		}
	}
	return slices.Compact(out)
}

// String returns the route as ip route prints it, without what does not lead anywhere.
func (r *Route) String() string {
	words := []string{r.Dst.String()}
	if r.Type != "unicast" {
		words = []string{r.Type, r.Dst.String()}
	}
	if r.Gateway.IsValid() {
		words = append(words, "via", r.Gateway.String())
	}
	if d := r.Device(); d != "" {
		words = append(words, "dev", d)
	}
	if r.Table != tableMain {
		words = append(words, "table", fmt.Sprint(r.Table))
	}
	return strings.Join(words, " ")
}

// String returns what the rule matches, as ip rule prints it.
func (r *Rule) String() string {
	var words []string
	if r.Invert {
		words = append(words, "not")
	}
	src := "all"
	if r.Src.IsValid() {
		src = r.Src.String()
	}
	words = append(words, "from", src)
	if r.Dst.IsValid() {
		words = append(words, "to", r.Dst.String())
	}
	switch {
	case r.Mask != 0 && r.Mask != 0xffffffff:
		words = append(words, fmt.Sprintf("fwmark %#x/%#x", r.Mark, r.Mask))
	case r.Mark != 0:
		words = append(words, fmt.Sprintf("fwmark %#x", r.Mark))
	}
	for _, dev := range [][2]string{{"iif", r.IIF}, {"oif", r.OIF}} {
		if dev[1] != "" {
			words = append(words, dev[0], dev[1])
		}
	}
	return strings.Join(words, " ")
}

const tableMain = 254 // RT_TABLE_MAIN
