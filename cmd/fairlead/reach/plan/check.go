// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"fairlead/internal/inet"
)

// Client is who tries.
type Client struct {
	Node string `json:"node,omitempty"` // "" is outside of the cluster
	Host bool   `json:"host,omitempty"` // in the network of the node, not that of pods
}

func (c Client) String() string {
	switch {
	case c.Node == "":
		return "outside"
	case c.Host:
		return c.Node
	}
	return "pod on " + c.Node
}

// Check is one thing that a client tries.
type Check struct {
	Kind   Kind   `json:"kind"`
	From   Client `json:"from"`
	What   string `json:"what"`         // what is tried, for people
	To     string `json:"to,omitempty"` // the node that is dialled, if one is
	Proto  Proto  `json:"proto"`
	Target string `json:"target"` // ADDRESS:PORT, or a name for lookups
	Want   Want   `json:"want"`
	Skip   string `json:"skip,omitempty"`
}

// Want is what must come of a check.
type Want struct {
	// Servers are those that may answer. None of them must if it is empty, unless Any
	// is set or Addrs are wanted.
	Servers []string `json:"servers,omitempty"`
	Any     bool     `json:"any,omitempty"`
	// Addrs are what a name stands for.
	Addrs []netip.Addr `json:"addrs,omitempty"`
	// Count is how many connections are made; 0 is one.
	Count int `json:"count,omitempty"`
	// Spread wants more than one server to answer, Same only one.
	Spread bool `json:"spread,omitempty"`
	Same   bool `json:"same,omitempty"`
	// Source wants the server to see the client's own address.
	Source bool `json:"source,omitempty"`
}

// Silence says that nothing may answer.
func (w Want) Silence() bool { return !w.Any && len(w.Servers) == 0 && len(w.Addrs) == 0 }

func (w Want) String() string {
	var words string
	switch {
	case w.Silence():
		return "no answer"
	case len(w.Addrs) > 0:
		return "addresses " + joined(w.Addrs)
	case w.Any:
		return "an answer"
	case len(w.Servers) > 3:
		words = fmt.Sprintf("an answer of one of %d servers", len(w.Servers))
	default:
		words = "an answer of " + strings.Join(w.Servers, " or ")
	}
	switch {
	case w.Spread:
		words += fmt.Sprintf(", and of several in %d connections", w.Count)
	case w.Same:
		words += fmt.Sprintf(", the same one in %d connections", w.Count)
	case w.Source:
		words += ", which sees the client's own address"
	}
	return words
}

func joined(list []netip.Addr) string {
	words := make([]string, len(list))
	for i, a := range list {
		words[i] = a.String()
	}
	slices.Sort(words)
	return strings.Join(words, ", ")
}

// spread is the number of connections after which all have gone to one of two equal
// endpoints once in 8 million times.
const spread = 24

// sticky is how many connections session affinity has to keep together.
const sticky = 8

// Checks returns what a client tries, in the order of Kinds.
func (w *World) Checks(c Client) (out []Check) {
	for _, f := range w.Families() {
		out = append(out, w.addresses(c, f)...)
		for i := range w.Services {
			out = append(out, w.service(c, &w.Services[i], f)...)
		}
	}
	out = append(out, w.names(c)...)
	if c.Node != "" && !c.Host {
		for _, to := range w.Egress {
			out = append(out, Check{Kind: Egress, From: c, What: to, Proto: TCP, Target: to, Want: Want{Any: true}})
		}
	}
	slices.SortStableFunc(out, func(a, b Check) int { return slices.Index(Kinds(), a.Kind) - slices.Index(Kinds(), b.Kind) })
	return out
}

// addresses tries servers of nodes by their own addresses.
func (w *World) addresses(c Client, f inet.Family) (out []Check) {
	for _, n := range w.peers(c) {
		if to := pick(n.Pod, f); to.IsValid() && c.Node != "" {
			for _, proto := range []Proto{TCP, UDP} {
				out = append(out, Check{
					Kind: Pod, From: c, To: n.Name, What: PodServer(n.Name), Proto: proto, Target: at(to, PodPort),
					Want: Want{Servers: []string{PodServer(n.Name)}, Source: !c.Host},
				})
			}
		}
		if to := pick(n.Addrs, f); to.IsValid() && w.HostPort != 0 {
			out = append(out, Check{
				Kind: NodeAddress, From: c, To: n.Name, What: n.Name, Proto: TCP, Target: at(to, w.HostPort),
				Want: Want{Servers: []string{NodeServer(n.Name)}},
			})
		}
		out = append(out, w.hostPorts(c, &n, f)...)
	}
	return out
}

// hostPorts tries the port of a node that leads to its server in the pod network. The node's
// own pods and the node itself reach it, too.
func (w *World) hostPorts(c Client, n *Node, f inet.Family) (out []Check) {
	to := pick(n.Addrs, f)
	if w.PodHostPort == 0 || !to.IsValid() || !pick(n.Pod, f).IsValid() {
		return nil
	}
	for _, proto := range []Proto{TCP, UDP} {
		out = append(out, Check{
			Kind: HostPort, From: c, To: n.Name, What: "hostPort of " + PodServer(n.Name), Proto: proto, Target: at(to, w.PodHostPort),
			Want: Want{Servers: []string{PodServer(n.Name)}},
		})
	}
	return out
}

// peers returns the client's own node and the next ones, so that each node is tried by
// as many others.
func (w *World) peers(c Client) []Node {
	i := max(0, slices.IndexFunc(w.Nodes, func(n Node) bool { return n.Name == c.Node }))
	ring := slices.Concat(w.Nodes[i:], w.Nodes[:i])
	if w.Peers > 0 && len(ring) > w.Peers+1 {
		ring = ring[:w.Peers+1]
	}
	return ring
}

func pick(list []netip.Addr, f inet.Family) netip.Addr {
	for _, a := range list {
		if inet.FamilyOf(a) == f {
			return a
		}
	}
	return netip.Addr{}
}

func at(a netip.Addr, port uint16) string {
	return net.JoinHostPort(a.String(), strconv.Itoa(int(port)))
}
