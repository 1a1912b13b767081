// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package view

import "net/netip"

// Network is the network stack of a node.
type Network struct {
	Links      []Link      `json:"links"`
	Routes     []Route     `json:"routes"` // of all routing tables
	Rules      []Rule      `json:"rules"`  // by priority
	Neighbours []Neighbour `json:"neighbours"`
	// LeftOut is how many routes and neighbours were not kept, because the node has more
	// than MaxEntries.
	LeftOut int `json:"leftOut,omitempty"`
}

// MaxEntries bounds the routes, and the neighbours, that are read of a node.
const MaxEntries = 200_000

// Link is a network device.
type Link struct {
	Index  int            `json:"index"`
	Name   string         `json:"name"`
	Kind   string         `json:"kind"` // "veth", "vxlan", "bridge", "device" and so on
	Up     bool           `json:"up"`   // an administrator turned it on, and it has a carrier or needs none
	MTU    int            `json:"mtu"`
	MAC    string         `json:"mac,omitempty"`
	Master string         `json:"master,omitempty"` // bridge or bond
	Addrs  []netip.Prefix `json:"addresses,omitempty"`
	VXLAN  *VXLAN         `json:"vxlan,omitempty"`
}

// VXLAN is a tunnel.
type VXLAN struct {
	VNI   int        `json:"vni"`
	Port  int        `json:"port"`
	Local netip.Addr `json:"local,omitzero"`
	Lower string     `json:"lower,omitempty"` // device that its packets leave by
}

// Route is a route of one routing table.
type Route struct {
	Table    int          `json:"table"` // 254 is main, 255 is local
	Type     string       `json:"type"`  // "unicast", "local", "blackhole", "unreachable" and so on
	Dst      netip.Prefix `json:"dst"`
	Gateway  netip.Addr   `json:"gateway,omitzero"`
	Source   netip.Addr   `json:"source,omitzero"` // of packets of this node
	Link     string       `json:"link,omitempty"`
	MTU      int          `json:"mtu,omitempty"`
	Metric   int          `json:"metric,omitempty"`
	Protocol int          `json:"protocol,omitempty"` // 102 is fairlead's
	Hops     []Hop        `json:"hops,omitempty"`     // of a route with several
}

// Hop is one of several ways of a route.
type Hop struct {
	Gateway netip.Addr `json:"gateway,omitzero"`
	Link    string     `json:"link,omitempty"`
}

// Rule says which packets use a routing table.
type Rule struct {
	IPv6     bool         `json:"ipv6,omitempty"`
	Priority int          `json:"priority"`
	Table    int          `json:"table"`
	Src      netip.Prefix `json:"src,omitzero"`
	Dst      netip.Prefix `json:"dst,omitzero"`
	IIF      string       `json:"iif,omitempty"`
	OIF      string       `json:"oif,omitempty"`
	Mark     uint32       `json:"mark,omitempty"`
	Mask     uint32       `json:"mask,omitempty"`
	Invert   bool         `json:"invert,omitempty"`
}

// Neighbour is an entry of the neighbour table, or of the forwarding database of a bridge
// or tunnel.
type Neighbour struct {
	Link  string     `json:"link"`
	IP    netip.Addr `json:"ip,omitzero"` // the remote end of a tunnel in a forwarding database
	MAC   string     `json:"mac,omitempty"`
	State string     `json:"state,omitempty"` // "permanent", "reachable", "failed" and so on
	FDB   bool       `json:"fdb,omitempty"`
}

// LinkNamed returns the device of a name, or nil.
func (n *Network) LinkNamed(name string) *Link {
	for i := range n.Links {
		if n.Links[i].Name == name {
			return &n.Links[i]
		}
	}
	return nil
}
