// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package firewall

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// hook is the place of a base chain in the way of a packet.
type hook string

const (
	forwardHook     hook = "forward"
	inputHook       hook = "input"
	preroutingHook  hook = "prerouting"
	postroutingHook hook = "postrouting"
)

// Use is the purpose of a port of the node.
type Use string

// The uses, as reports name them.
const (
	Tunnel      Use = "tunnel packets of other nodes"
	HealthCheck Use = "health checks of load balancers"
	NodePort    Use = "NodePorts"
)

// Port is a port of this node that others have to reach.
type Port struct {
	Proto  byte // IPPROTO_TCP, IPPROTO_UDP
	Number uint16
	Use    Use
}

// String returns, for example, "udp/8472".
func (p Port) String() string { return fmt.Sprintf("%s/%d", protoName(p.Proto), p.Number) }

func protoName(proto byte) string {
	switch proto {
	case protoTCP:
		return "tcp"
	case protoUDP:
		return "udp"
	case protoSCTP:
		return "sctp"
	}
	return fmt.Sprintf("protocol %d", proto)
}

const (
	// maxPorts bounds the ports of each use that are checked, and maxPeers the nodes
	// from which tunnel packets are tried.
	maxPorts = 64
	maxPeers = 16
)

// ports returns the ports that are checked and opened: the first of each use.
func (c Config) ports() []Port {
	count := map[Use]int{}
	var out []Port
	for _, p := range c.Ports {
		if count[p.Use]++; count[p.Use] <= maxPorts && !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out
}

// toNode returns packets to ports of the node. Tunnel packets come from other nodes
// and are not tracked. The senders of all other packets are unknown.
func (c Config) toNode(dev func(string) device) []packet {
	var out []packet
	uplink := dev(c.Uplink)
	uplink.unknown = c.Uplink == ""
	for _, port := range c.ports() {
		p := packet{
			flow: Flow(fmt.Sprintf("%s (%s)", port.Use, port)), port: port,
			iif: uplink, proto: port.Proto, dport: port.Number, local: true,
		}
		for _, own := range c.Self {
			p.dst = own
			switch port.Use {
			case Tunnel:
				p.untracked = true
				for _, peer := range c.peers(own) {
					p.src = peer
					out = append(out, at(p, inputHook), at(p, preroutingHook))
				}
			case HealthCheck:
				p.src, p.anySrc = outside(own.Is4()), true
				out = append(out, at(p, inputHook), at(p, preroutingHook))
			case NodePort: // translated before the hook input
				p.src, p.anySrc = outside(own.Is4()), true
				out = append(out, at(p, preroutingHook))
			}
		}
	}
	return out
}

func at(p packet, h hook) packet {
	p.hook = h
	return p
}

// peers returns addresses of other nodes of the same family.
func (c Config) peers(own netip.Addr) []netip.Addr {
	var out []netip.Addr
	for _, a := range c.Peers {
		if a.Is4() == own.Is4() && a != own && len(out) < maxPeers {
			out = append(out, a)
		}
	}
	return out
}

// openPorts returns commands that make the chain accept packets to ports.
func (f *Finding) openPorts() []string {
	var out []string
	add := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	for _, p := range f.ports {
		proto := protoName(p.Proto)
		switch {
		case f.Owner == "firewalld":
			add("firewall-cmd --permanent --add-port=%d/%s", p.Number, proto)
		case f.Owner == "ufw":
			add("ufw allow %d/%s", p.Number, proto)
		case f.table.xtables():
			program := map[string]string{"ip": "iptables", "ip6": "ip6tables"}[f.table.family]
			if f.table.legacy {
				program += "-legacy"
			}
			if f.table.name != "filter" {
				program += " -t " + f.table.name
			}
			add("%s -I %s -p %s --dport %d -j ACCEPT -m comment --comment %q", program, f.entry, proto, p.Number, Comment)
		default:
			add("nft insert rule %s %s %s dport %d accept comment '%q'", f.Table, f.entry, proto, p.Number, Comment)
		}
	}
	if f.Owner == "firewalld" {
		add("firewall-cmd --reload")
	}
	return out
}

// xtables reports whether iptables writes the table, in either form.
func (t *table) xtables() bool {
	return t.legacy || t.family != "inet" && slices.Contains([]string{"filter", "raw", "mangle"}, t.name)
}

// flows lists the dropped flows, in bounded length.
func (f *Finding) flows() string {
	const most = 6
	var out []string
	for i, flow := range f.Flows {
		if i == most {
			out = append(out, fmt.Sprintf("and %d more", len(f.Flows)-most))
			break
		}
		out = append(out, string(flow))
	}
	return strings.Join(out, ", ")
}
