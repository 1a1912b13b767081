// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package plan says what network namespaces need in order to be the node of a bundle, and
// what of it they cannot be. It does no I/O. A bundle may come from anyone, so each size
// is bounded, and each name is checked.
package plan

import (
	"fmt"
	"net/netip"
	"strings"

	"fairlead/cmd/fairlead/view"
	"fairlead/internal/inet"
)

// Bounds of a node.
const (
	MaxPods       = 1000 // of Limits.Pods
	maxLinks      = 200  // beside those of pods
	maxAddrs      = 256  // of one device
	maxRoutes     = 50_000
	maxRules      = 1000
	maxNeighbours = 50_000
	maxPorts      = 32     // that a pod answers on
	maxPodAddrs   = 16     // of a pod
	maxFound      = 10_000 // pods that are considered
	maxDevices    = 4096   // that a bundle may have
)

// Limits are what the user asked for.
type Limits struct{ Pods int }

// Parts are what a bundle holds. Objects and Sysctls may be nil.
type Parts struct {
	About   *view.About
	Config  *view.Config
	Network *view.Network
	Objects *view.Objects
	Sysctls map[string]string
}

// Node is the node to build.
type Node struct {
	Name     string
	Loopback []netip.Prefix
	Links    []Link // those that others need come first
	Pods     []Pod
	// Ports are those of pods in the network of the node.
	Ports      []inet.Addr
	Routes     []view.Route
	Rules      []view.Rule
	Neighbours []view.Neighbour
	Sysctls    []Sysctl // those of all devices come first
	LeftOut    []string // in sentences
}

// Role says what stands for a device.
type Role uint8

// The roles of devices. An uplink is one end of a pair whose other end is in the host
// outside, whatever the device was.
const (
	Bridge Role = iota
	Dummy
	Uplink
	VXLAN
)

// Link is a device of the node that belongs to no pod.
type Link struct {
	view.Link
	Role Role
	// Outside are the addresses of an uplink's other end: the gateways of the node.
	Outside []netip.Prefix
}

// Sysctl is a file below /proc/sys/net.
type Sysctl struct{ File, Value string }

// New plans a node. It fails if the bundle does not describe one.
func New(p *Parts, limits Limits) (*Node, error) {
	if limits.Pods < 0 || limits.Pods > MaxPods {
		return nil, fmt.Errorf("the number of pods %d is not from 0 to %d", limits.Pods, MaxPods)
	}
	b := &builder{Parts: p, links: map[string]*view.Link{}, kept: map[string]bool{"": true, "lo": true}, own: map[netip.Addr]bool{}, routed: map[string]bool{}}
	b.out.Name = p.Config.Table.NodeName
	if b.out.Name == "" {
		b.out.Name = p.About.Host
	}
	if err := b.check(); err != nil {
		return nil, err
	}
	b.findPods(limits.Pods)
	b.addLinks()
	b.addRoutes()
	b.addRules()
	b.addNeighbours()
	b.addSysctls()
	return &b.out, nil
}

// builder builds one Node.
type builder struct {
	*Parts
	out   Node
	links map[string]*view.Link // of the bundle, by name
	kept  map[string]bool       // names of devices that are built; "" is none
	ofPod map[string]bool       // devices that lead to pods

	own    map[netip.Addr]bool // addresses of the node
	routed map[string]bool     // devices that have a route
}

func (b *builder) leaveOut(format string, args ...any) {
	b.out.LeftOut = append(b.out.LeftOut, fmt.Sprintf(format, args...))
}

// check refuses devices that the kernel would not have, and what is too large to be of a
// node.
func (b *builder) check() error {
	for what, n := range map[string][2]int{
		"devices": {len(b.Network.Links), maxDevices}, "routes": {len(b.Network.Routes), 2 * view.MaxEntries},
		"routing rules": {len(b.Network.Rules), view.MaxEntries}, "neighbours": {len(b.Network.Neighbours), view.MaxEntries},
	} {
		if n[0] > n[1] {
			return fmt.Errorf("network.json: it has %d %s, the limit is %d", n[0], what, n[1])
		}
	}
	for i := range b.Network.Routes {
		if r := &b.Network.Routes[i]; r.Type == "unicast" {
			b.routed[r.Link] = true
		}
	}
	for i := range b.Network.Links {
		l := &b.Network.Links[i]
		if err := checkLink(l); err != nil {
			return fmt.Errorf("network.json: device %d: %w", i+1, err)
		}
		if b.links[l.Name] != nil {
			return fmt.Errorf("network.json: device %d: there are two called %q", i+1, l.Name)
		}
		b.links[l.Name] = l
		for _, a := range l.Addrs {
			b.own[a.Addr()] = true
		}
	}
	return nil
}

func checkLink(l *view.Link) error {
	const maxName = 15 // IFNAMSIZ, less the final zero
	odd := func(r rune) bool { return r <= ' ' || r == '/' || r == ':' || r == '%' || r > '~' }
	if l.Name == "" || len(l.Name) > maxName || l.Name == "." || l.Name == ".." || strings.ContainsFunc(l.Name, odd) {
		return fmt.Errorf("%q is not the name of a device", l.Name)
	}
	if l.MTU < 0 || l.MTU > 65536 {
		return fmt.Errorf("%s: the MTU %d is not from 0 to 65536", l.Name, l.MTU)
	}
	if len(l.Addrs) > maxAddrs {
		return fmt.Errorf("%s: it has %d addresses, the limit is %d", l.Name, len(l.Addrs), maxAddrs)
	}
	for _, a := range l.Addrs {
		if !a.IsValid() || a.Addr().Is4In6() || a.Addr().Zone() != "" || a.Addr().IsMulticast() {
			return fmt.Errorf("%s: %q is not an address of a device", l.Name, a)
		}
	}
	if v := l.VXLAN; v != nil && (v.VNI < 1 || v.VNI >= 1<<24 || v.Port < 1 || v.Port > 65535) {
		return fmt.Errorf("%s: VNI %d or port %d does not exist", l.Name, v.VNI, v.Port)
	}
	return nil
}

// addLinks adds the devices that belong to no pod.
func (b *builder) addLinks() {
	left := 0
	for _, role := range []Role{Bridge, Dummy, Uplink, VXLAN} {
		for i := range b.Network.Links {
			l := &b.Network.Links[i]
			switch {
			case l.Name == "lo":
				if role == Bridge {
					b.out.Loopback = l.Addrs
				}
			case b.ofPod[l.Name] || b.role(l) != role || b.isIdle(l):
			case len(b.out.Links) == maxLinks:
				left++
			default:
				b.kept[l.Name] = true
				b.out.Links = append(b.out.Links, b.link(l, role))
			}
		}
	}
	if left > 0 {
		b.leaveOut("%d devices are left out, because the limit is %d.", left, maxLinks)
	}
}

// role returns what stands for a device.
func (b *builder) role(l *view.Link) Role {
	switch {
	case l.VXLAN != nil:
		return VXLAN
	case l.Kind == "bridge":
		return Bridge
	case l.Kind == "dummy":
		return Dummy
	}
	return Uplink
}

// isIdle reports whether a device carries nothing, such as those that modules of tunnels
// make in each network namespace.
func (b *builder) isIdle(l *view.Link) bool {
	return !l.Up && len(l.Addrs) == 0 && l.Kind != "bridge" && l.VXLAN == nil && !b.routed[l.Name]
}

func (b *builder) link(l *view.Link, role Role) Link {
	out := Link{Link: *l, Role: role}
	if role != Uplink {
		return out
	}
	if l.Kind != "device" && l.Kind != "veth" {
		b.leaveOut("Device %s is of kind %q. One end of a pair stands for it.", l.Name, l.Kind)
	}
	for _, f := range inet.Families() {
		if p, ok := b.gateway(l, f); ok {
			out.Outside = append(out.Outside, p)
		}
	}
	return out
}

// gateway returns the address of a router behind a device: the one that its routes name,
// or else one that is free in its subnet.
func (b *builder) gateway(l *view.Link, f inet.Family) (netip.Prefix, bool) {
	var subnet netip.Prefix
	for _, a := range l.Addrs {
		if inet.FamilyOf(a.Addr()) == f && !a.Addr().IsLinkLocalUnicast() && !subnet.IsValid() {
			subnet = a
		}
	}
	if !subnet.IsValid() {
		return netip.Prefix{}, false
	}
	for i := range b.Network.Routes {
		r := &b.Network.Routes[i]
		if r.Link == l.Name && r.Gateway.IsValid() && inet.FamilyOf(r.Gateway) == f && r.Dst.Bits() == 0 && !r.Gateway.IsLinkLocalUnicast() {
			if subnet.Contains(r.Gateway) {
				return netip.PrefixFrom(r.Gateway, subnet.Bits()), true
			}
			return netip.PrefixFrom(r.Gateway, r.Gateway.BitLen()), true
		}
	}
	if subnet.IsSingleIP() {
		return netip.Prefix{}, false
	}
	for ip, n := inet.LastAddr(subnet.Masked()).Prev(), 0; subnet.Contains(ip) && n < maxAddrs; ip, n = ip.Prev(), n+1 {
		if !b.own[ip] {
			return netip.PrefixFrom(ip, subnet.Bits()), true
		}
	}
	return netip.Prefix{}, false
}
