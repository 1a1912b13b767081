// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"fmt"
	"slices"
	"strings"

	"fairlead/internal/inet"
)

// String returns the commands that carry out the plan, in order.
func (p Plan) String() string {
	var b strings.Builder
	for _, d := range p.Devices {
		fmt.Fprintln(&b, d)
	}
	for _, s := range Diff(nil, p.Entries) {
		b.WriteString(s.String())
		if s.Kind == Route || s.Kind == Rule {
			fmt.Fprintf(&b, " proto %d", p.Protocol)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// String returns the commands that make the device.
func (d Device) String() string {
	return fmt.Sprintf("ip link add %s address %s mtu %d type vxlan id %d dstport %d local %s nolearning\n"+
		"ip link set %s addrgenmode none\n"+
		"ip link set %s alias %s up", d.Name, d.MAC, d.MTU, d.VNI, d.Port, d.Local, d.Name, d.Name, Alias)
}

// Alias marks the overlay's devices. ip link shows it, and it identifies a device that an
// earlier Config gave another name.
const Alias = "fairlead"

// String returns the step as a command.
func (s Step) String() string {
	verb := [...]string{Add: "add", Replace: "replace", Remove: "delete"}[s.Op]
	e := s.Entry
	switch e.Kind {
	case Address:
		return fmt.Sprintf("ip address %s %s dev %s%s", verb, e.Dst, e.Device, when(e.Dst.Addr().Is6() && s.Op != Remove, " nodad"))
	case FDB:
		return fmt.Sprintf("bridge fdb %s %s dev %s dst %s self permanent", verb, e.MAC, e.Device, e.Via)
	case Neighbour:
		return fmt.Sprintf("ip neighbour %s %s lladdr %s dev %s nud permanent", verb, e.Dst.Addr(), e.MAC, e.Device)
	case Rule:
		return "ip " + when(e.Dst.Addr().Is6(), "-6 ") + "rule " + verb + " " + e.rule()
	default:
		return "ip route " + verb + " " + e.route()
	}
}

func (e *Entry) route() string {
	var b strings.Builder
	b.WriteString(e.Dst.String())
	if e.Via.IsValid() {
		b.WriteString(" via " + e.Via.String())
	}
	b.WriteString(" dev " + e.Device + when(e.OnLink, " onlink"))
	if e.Metric != metric(inet.FamilyOf(e.Dst.Addr())) {
		fmt.Fprintf(&b, " metric %d", e.Metric)
	}
	if e.Table != 0 {
		fmt.Fprintf(&b, " table %d", e.Table)
	}
	return b.String()
}

func (e *Entry) rule() string {
	return fmt.Sprintf("from %s fwmark %#x/%#x lookup %d priority %d", e.Dst, e.Mark, e.Mark, e.Table, e.Metric)
}

// String names the entry for errors.
func (e Entry) String() string {
	switch e.Kind {
	case Address:
		return fmt.Sprintf("address %s dev %s", e.Dst, e.Device)
	case FDB:
		return fmt.Sprintf("FDB entry %s dst %s dev %s", e.MAC, e.Via, e.Device)
	case Neighbour:
		return fmt.Sprintf("neighbour %s lladdr %s dev %s", e.Dst.Addr(), e.MAC, e.Device)
	case Rule:
		return "rule " + e.rule()
	default:
		return "route " + e.route()
	}
}

// String lists the entries in order.
func (es Entries) String() string {
	lines := make([]string, 0, len(es))
	for _, s := range Diff(nil, es) {
		lines = append(lines, s.Entry.String()+when(s.Odd, " (odd)"))
	}
	return strings.Join(slices.Clip(lines), "\n")
}

func when(yes bool, s string) string {
	if yes {
		return s
	}
	return ""
}
