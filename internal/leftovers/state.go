// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package leftovers

import (
	"net/netip"
	"path/filepath"
)

// Options name the places that Look reads.
type Options struct {
	// CNIDir is where the container runtime looks for conflists.
	CNIDir string
	// SubnetFile is the file that flannel writes for its CNI plugin.
	SubnetFile string
	// KeepBridge leaves flannel's bridge, which is needed.
	KeepBridge bool
	// Table is the name of fairlead's table, Alias the alias of its devices,
	// Protocol the protocol number of its routes and routing rules, and RouteTable the
	// number of the routing table that it uses beside the main one.
	Table      string
	Alias      string
	Protocol   uint8
	RouteTable int
}

// Where flannel's manifest puts files.
const (
	DefaultSubnetFile = "/run/flannel/subnet.env"
	flannelConflist   = "10-flannel.conflist"
	fairleadConflist  = "10-fairlead.conflist"
)

func (o *Options) conflist(owner Owner) string {
	switch {
	case o.CNIDir == "":
		return ""
	case owner == Flannel:
		return filepath.Join(o.CNIDir, flannelConflist)
	case owner == Fairlead:
		return filepath.Join(o.CNIDir, fairleadConflist)
	}
	return ""
}

// State lists the objects on a machine that could be an owner's leftovers.
type State struct {
	Tables []Table  // of nftables
	Legacy []Table  // of legacy iptables, with those chains that could be an owner's
	Sets   []string // of ipset
	Links  []Link
	Routes []Route // of the main table, and of fairlead's
	Rules  []RoutingRule
	Files  []string // that exist, of those looked for
	// Subnets and Networks are FLANNEL_SUBNET and FLANNEL_NETWORK of the subnet
	// file.
	Subnets, Networks []netip.Prefix
	// Bridge is that of fairlead's conflist, if it has one.
	Bridge string
	// Claims names the CNI configuration of another program for each bridge that such a one
	// names.
	Claims map[string]string
	// Virtual says that IPVS has services.
	Virtual bool
}

// Table is a table of nftables. Chains are known only where an owner's could be among
// them.
type Table struct {
	Family string // "ip", "ip6", "inet"
	Name   string
	Chains []Chain
}

// String returns the name as nft takes it.
func (t *Table) String() string { return t.Family + " " + t.Name }

// Chain is a chain with its rules that lead to other chains.
type Chain struct {
	Name  string
	Base  bool // the kernel calls it
	Rules []Rule
}

// Rule is a rule that leads to another chain.
type Rule struct {
	Handle uint64
	Target string
}

// Link is a network device.
type Link struct {
	Index int
	Name  string
	Kind  string // "vxlan", "bridge", …
	Alias string
	// Ports is how many devices a bridge has.
	Ports int
}

// RoutingRule is a rule that leads packets with a mark to a routing table.
type RoutingRule struct {
	Src      netip.Prefix
	Mark     uint32
	Mask     uint32
	Table    int
	Priority int
	Protocol uint8
}

// Route is a route of the main table, or of the one with a number.
type Route struct {
	Table     int // 0 for the main table
	Dst       netip.Prefix
	Via       netip.Addr
	Device    int // 0 for a blackhole
	Protocol  uint8
	Metric    int
	Blackhole bool
}
