// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"fairlead/cmd/fairlead/output"
	"fairlead/cmd/fairlead/view"
	"fairlead/internal/inet"
	"fairlead/nat/evaluate"
)

// client is where a connection comes from.
type client struct {
	words string
	addrs [2]netip.Addr // by family; invalid for none
	own   bool          // this node itself
	node  string        // of a pod on another node
}

// outside are addresses for documentation (RFC 5737, RFC 3849), which no host has.
func outside() [2]netip.Addr {
	return [2]netip.Addr{netip.MustParseAddr("203.0.113.250"), netip.MustParseAddr("2001:db8::250")}
}

// clientOf reads --from. A name is that of a Pod, with or without its namespace, or of a
// Node.
func (p *Picture) clientOf(ctx context.Context, from, namespace string) (*client, error) {
	switch from {
	case "":
		return nil, nil
	case "pod":
		return p.anyPod(), nil
	case "node":
		return &client{words: "this node", own: true}, nil
	case "outside":
		return &client{words: "a host outside of the cluster", addrs: outside()}, nil
	}
	if ip, err := netip.ParseAddr(from); err == nil {
		ip = ip.Unmap()
		c := &client{words: ip.String(), own: p.Network != nil && p.Network.IsLocal(ip)}
		c.addrs[inet.FamilyOf(ip)] = ip
		return c, nil
	}
	if p.Objects != nil {
		if n := p.Objects.Node(from); n != nil {
			return p.nodeClient(n), nil
		}
	}
	key := types.NamespacedName{Namespace: namespace, Name: from}
	if strings.Contains(from, "/") {
		key = nameOf(from)
	}
	if key.Namespace != namespace {
		p.readPods(ctx, key.Namespace)
	}
	ips, node, ok := p.podNamed(key)
	if !ok {
		return nil, fmt.Errorf("--from: %s is no address, and there is no Pod %s and no Node of that name; or give pod, node or outside", output.Clean(from), output.Clean(key.String()))
	}
	c := &client{words: "pod " + key.String(), node: node}
	if node == p.Config.Table.NodeName {
		c.node = ""
	}
	for _, ip := range ips {
		c.addrs[inet.FamilyOf(ip)] = ip
	}
	return c, nil
}

// ClientAddrs returns the addresses of a client: a Pod, a Node, or an address. A Pod
// without a namespace is one of the given namespace.
func (p *Picture) ClientAddrs(ctx context.Context, from, namespace string) ([]netip.Addr, error) {
	if from == "pod" || from == "outside" {
		return nil, fmt.Errorf("--from: %q is no one whose packets can be told from others: give a Pod, a Node or an address", from)
	}
	p.readPods(ctx, namespace)
	c, err := p.clientOf(ctx, from, namespace)
	if err != nil {
		return nil, err
	}
	var out []netip.Addr
	for _, a := range c.addrs {
		if a.IsValid() {
			out = append(out, a)
		}
	}
	if c.own && len(out) == 0 && p.Network != nil {
		for i := range p.Network.Links {
			for _, a := range p.Network.Links[i].Addrs {
				if ip := a.Addr(); !ip.IsLoopback() && !ip.IsLinkLocalUnicast() {
					out = append(out, ip)
				}
			}
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("--from: %s has no address yet", output.Clean(from))
	}
	return out, nil
}

func (p *Picture) nodeClient(n *corev1.Node) *client {
	if n.Name == p.Config.Table.NodeName {
		return &client{words: "this node", own: true}
	}
	c := &client{words: "node " + n.Name}
	for _, a := range n.Status.Addresses {
		if ip, err := netip.ParseAddr(a.Address); err == nil && a.Type == corev1.NodeInternalIP && !c.addrs[inet.FamilyOf(ip.Unmap())].IsValid() {
			c.addrs[inet.FamilyOf(ip.Unmap())] = ip.Unmap()
		}
	}
	return c
}

// anyPod returns a pod of this node: one that has a route, or an address of the range
// that the node's pods get their addresses from.
func (p *Picture) anyPod() *client {
	c := &client{words: "a pod of this node"}
	for _, cidr := range p.podCIDRs() {
		f := inet.FamilyOf(cidr.Addr())
		if c.addrs[f].IsValid() {
			continue
		}
		c.addrs[f] = cidr.Addr().Next().Next()
		if p.Network == nil {
			continue
		}
		for i := range p.Network.Routes {
			if r := &p.Network.Routes[i]; r.Type == "unicast" && r.Table == 254 && r.Dst.IsSingleIP() && cidr.Contains(r.Dst.Addr()) && !r.Gateway.IsValid() {
				c.addrs[f] = r.Dst.Addr()
				break
			}
		}
	}
	return c
}

// podCIDRs returns the ranges of this node's pods.
func (p *Picture) podCIDRs() []netip.Prefix {
	var out []netip.Prefix
	if p.Objects != nil {
		if n := p.Objects.Node(p.Config.Table.NodeName); n != nil {
			for _, s := range n.Spec.PodCIDRs {
				if c, err := netip.ParsePrefix(s); err == nil {
					out = append(out, c)
				}
			}
		}
	}
	if len(out) == 0 {
		out = p.Config.Table.ClusterCIDRs
	}
	return out
}

// packet returns the first packet of a connection, or why there is none.
func (p *Picture) packet(c *client, to inet.Addr) (evaluate.Packet, string) {
	f := inet.FamilyOf(to.IP)
	pk := evaluate.Packet{Dst: to}
	src := c.addrs[f]
	if c.own {
		if !src.IsValid() && p.Network != nil {
			if r, ok := p.Network.Route(view.Way{Dst: to.IP}); ok {
				src = p.Network.SourceOf(r, to.IP)
			}
		}
		if !src.IsValid() {
			src = f.Unspecified()
		}
		pk.Src = netip.AddrPortFrom(src, clientPort)
		return pk, ""
	}
	if !src.IsValid() {
		return pk, fmt.Sprintf("%s has no %s address.", capital(c.words), f)
	}
	pk.Src, pk.IIF = netip.AddrPortFrom(src, clientPort), "unknown"
	if p.Network != nil {
		if r, ok := p.Network.Route(view.Way{Dst: src}); ok {
			pk.IIF = r.Device()
		}
	}
	return pk, ""
}

// clientPort stands for the port that the client's kernel chooses.
const clientPort = 40000

func capital(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// kernel answers what rules ask, from the routes that were read.
type kernel struct{ n *view.Network }

func (k kernel) IsLocal(ip netip.Addr) bool { return k.n.IsLocal(ip) }

func (k kernel) Leads(to netip.Addr, iface string) bool {
	r, ok := k.n.Route(view.Way{Dst: to})
	return ok && r.Device() == iface
}

func (k kernel) Out(pk evaluate.Packet, mark uint32) (string, bool) {
	r, ok := k.n.Route(view.Way{Src: pk.Src.Addr(), Dst: pk.Dst.IP, IIF: pk.IIF, Mark: mark})
	if !ok || r.Type != "unicast" && r.Type != "local" {
		return "", false
	}
	return r.Device(), true
}
