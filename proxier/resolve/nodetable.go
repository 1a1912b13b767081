// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"maps"
	"net/netip"
	"slices"

	"fairlead/nat"
	"fairlead/proxier/objects"
)

// NodeTable keeps what depends on all nodes. A changed node costs what that node has,
// whatever the number of nodes. Only one goroutine may use a NodeTable at a time.
type NodeTable struct {
	cfg   *Config
	nodes map[string]*objects.Node
	own   []netip.Addr
	// addrs counts, by address, the nodes that the table of the kernel has to know by it.
	addrs map[netip.Addr]int
	// rivals are the names of the other nodes with an address, sorted, where it has several.
	rivals map[netip.Addr][]string
	ways   gateways
	facts  ClusterFacts
	change NodeChange
}

// NodeChange is what changed since the last NodeTable.Take. An address, a prefix or a zone
// may be listed although the end is as the beginning was.
type NodeChange struct {
	Self bool // this node appeared, changed or disappeared
	Pods bool // where pods are, as far as nodes say so
	// Gone and Came are for State.ChangeNodes. They are sorted.
	Gone, Came []netip.Addr
	// Gateways is for State.ChangeGateways.
	Gateways []nat.Gateway

	addrs   map[netip.Addr]struct{}   // that the table of the kernel knows
	others  map[netip.Addr]struct{}   // that another node has now
	pods    map[netip.Prefix]struct{} // ranges of pods
	zones   map[string]struct{}
	anyZone bool // whether the zone of any node is known
}

func newNodeChange() NodeChange {
	return NodeChange{addrs: map[netip.Addr]struct{}{}, others: map[netip.Addr]struct{}{}, pods: map[netip.Prefix]struct{}{}, zones: map[string]struct{}{}}
}

// IsEmpty reports whether nothing changed that Services, settings or the table of the
// kernel depend on.
func (c *NodeChange) IsEmpty() bool {
	return !c.Self && !c.anyZone && len(c.addrs)+len(c.others)+len(c.Gateways)+len(c.pods)+len(c.zones) == 0
}

// NewNodeTable returns a table without nodes.
func NewNodeTable(cfg *Config) *NodeTable {
	t := &NodeTable{
		cfg: cfg, nodes: map[string]*objects.Node{}, addrs: map[netip.Addr]int{}, rivals: map[netip.Addr][]string{}, ways: newGateways(), change: newNodeChange(),
		facts: ClusterFacts{
			Self: SelfOf(cfg, nil), Zones: map[string]int{}, Others: map[netip.Addr]string{},
			Pods: newPrefixSet(cfg.ClusterCIDRs), ExternalIPs: cfg.ExternalIPs,
		},
	}
	if cfg.tunnels() {
		t.facts.TunnelPort, t.facts.TunnelAddrs = cfg.Overlay.WithDefaults().Port, t.addrs
	}
	return t
}

// Facts returns the facts of the cluster. Set changes their maps.
func (t *NodeTable) Facts() ClusterFacts { return t.facts }

// Self returns this node, or nil while it is not known.
func (t *NodeTable) Self() *objects.Node { return t.nodes[t.cfg.NodeName] }

// Set replaces a node. A nil one is gone. It reports whether that may change anything.
func (t *NodeTable) Set(name string, n *objects.Node) bool {
	old := t.nodes[name]
	if old == n {
		return false
	}
	if n != nil {
		t.nodes[name] = n
		t.count(n, +1)
	} else {
		delete(t.nodes, name)
	}
	if old != nil {
		t.count(old, -1)
	}
	if t.cfg.tunnels() {
		t.replaceWays(name, old, n)
	}
	if name == t.cfg.NodeName {
		t.facts.Self = SelfOf(t.cfg, n)
		t.change.Self = true
	} else {
		t.replaceOther(name, old, n)
	}
	return true
}

// replaceWays follows a node's addresses, and where its pods are.
func (t *NodeTable) replaceWays(name string, old, n *objects.Node) {
	if name != t.cfg.NodeName {
		t.ways.replace(old, n)
		return
	}
	addrs := func(n *objects.Node) []netip.Addr {
		if n == nil {
			return nil
		}
		return slices.Concat(n.Addresses, n.Underlay)
	}
	t.ways.replaceOwn(addrs(old), addrs(n))
}

// SetOwn says by which addresses of its own this node sends tunnel packets.
func (t *NodeTable) SetOwn(own []netip.Addr) {
	if !t.cfg.tunnels() || slices.Equal(t.own, own) {
		return
	}
	t.ways.replaceOwn(t.own, own)
	for _, a := range own {
		t.countAddr(a, +1)
	}
	for _, a := range t.own {
		t.countAddr(a, -1)
	}
	t.own = own
}

// Take returns what changed since the last Take.
func (t *NodeTable) Take() NodeChange {
	out := t.change
	t.change = newNodeChange()
	for a := range out.addrs {
		if t.addrs[a] > 0 {
			out.Came = append(out.Came, a)
		} else {
			out.Gone = append(out.Gone, a)
		}
	}
	slices.SortFunc(out.Came, netip.Addr.Compare)
	slices.SortFunc(out.Gone, netip.Addr.Compare)
	out.Gateways = t.ways.take()
	out.Pods = len(out.pods) > 0
	return out
}

// PodCIDRs returns the ranges of pods on all nodes, sorted.
func (t *NodeTable) PodCIDRs() []netip.Prefix {
	return slices.SortedFunc(maps.Keys(t.facts.Pods.all), netip.Prefix.Compare)
}

// count adds n to what the table counts of a node.
func (t *NodeTable) count(node *objects.Node, n int) {
	t.cfg.eachNodeAddr(node, func(a netip.Addr) { t.countAddr(a, n) })
	if len(t.cfg.ClusterCIDRs) == 0 {
		for _, p := range node.PodCIDRs {
			if t.facts.Pods.count(p.Masked(), n) {
				t.change.pods[p.Masked()] = struct{}{}
			}
		}
	}
	if node.Zone != "" {
		t.countZone(node.Zone, n)
	}
}

func (t *NodeTable) countAddr(a netip.Addr, n int) {
	if was, is := countIn(t.addrs, a, n); was != is {
		t.change.addrs[a] = struct{}{}
	}
}

func (t *NodeTable) countZone(zone string, n int) {
	known := len(t.facts.Zones) > 0
	if was, is := countIn(t.facts.Zones, zone, n); was != is {
		t.change.zones[zone] = struct{}{}
	}
	t.change.anyZone = t.change.anyZone || known != (len(t.facts.Zones) > 0)
}

// replaceOther notes which addresses another node has. The first of two nodes that claim
// an address has it.
func (t *NodeTable) replaceOther(name string, old, n *objects.Node) {
	if old != nil && n != nil && slices.Equal(old.Addresses, n.Addresses) {
		return
	}
	if old != nil {
		for _, ip := range old.Addresses {
			t.setOwners(ip, slices.DeleteFunc(t.owners(ip), func(o string) bool { return o == name }))
		}
	}
	if n != nil {
		for _, ip := range n.Addresses {
			list := t.owners(ip)
			if i, found := slices.BinarySearch(list, name); !found {
				t.setOwners(ip, slices.Insert(list, i, name))
			}
		}
	}
}

// owners returns the names of the other nodes with an address, sorted, in a list of the
// caller.
func (t *NodeTable) owners(ip netip.Addr) []string {
	if list := t.rivals[ip]; list != nil {
		return list
	}
	if one, ok := t.facts.Others[ip]; ok {
		return []string{one}
	}
	return nil
}

func (t *NodeTable) setOwners(ip netip.Addr, list []string) {
	before := t.facts.Others[ip]
	now := ""
	delete(t.rivals, ip)
	if len(list) > 1 {
		t.rivals[ip] = list
	}
	if len(list) > 0 {
		now = list[0]
		t.facts.Others[ip] = now
	} else {
		delete(t.facts.Others, ip)
	}
	if before != now {
		t.change.others[ip] = struct{}{}
	}
}
