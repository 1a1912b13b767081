// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"fmt"
	"net/netip"
	"slices"

	"fairlead/nat"
	"fairlead/proxier/objects"
)

// Cluster is what the settings depend on, besides the configuration.
type Cluster struct {
	Node         *objects.Node  // this one; nil while it is not known
	PodCIDRs     []netip.Prefix // of all nodes; see Config.ClusterOfNodes
	ServiceCIDRs []*objects.ServiceCIDR
	Keep         []netip.Prefix // see Tx.SetNonMasquerade
	Own          []netip.Addr   // see Tx.SetTunnelAddrs
}

// SettingsOf returns what does not belong to one Service: a pure function.
func SettingsOf(cfg *Config, in *Cluster) (nat.Settings, []objects.Problem) {
	s := nat.Settings{
		MasqueradeMark: cfg.MasqueradeMark, MasqueradeAll: cfg.MasqueradeAll, KeepInvalid: cfg.KeepInvalid,
		Cluster: clusterOf(cfg, in), BackendCounters: cfg.BackendCounters,
		Loopback: cfg.Loopback, CheckedInterfaces: cfg.CheckedInterfaces,
	}
	unknown := objects.NewReport(objects.KindNode, cfg.NodeName)
	s.Pods = detector(cfg, in.Node, unknown)
	s.NodePortAddrs = nodePortAddrs(cfg, in.Node, unknown)
	s.Egress = egress(cfg, in, unknown)
	s.Tunnels = tunnelGuard(cfg, in.Node, in.Own)
	for _, c := range in.ServiceCIDRs {
		s.ServiceCIDRs = append(s.ServiceCIDRs, c.CIDRs...)
	}
	if len(in.ServiceCIDRs) == 0 {
		s.ServiceCIDRs = cfg.ServiceCIDRs
	}
	return s, append(unknown.Problems, overlaps(s.Cluster, in.ServiceCIDRs)...)
}

// overlaps reports ServiceCIDRs that contain pods: an address there may be a ClusterIP or
// a pod, and packets to unallocated ClusterIPs are dropped.
func overlaps(cluster []netip.Prefix, cidrs []*objects.ServiceCIDR) []objects.Problem {
	var out []objects.Problem
	for _, c := range cidrs {
		for _, p := range c.CIDRs {
			i := slices.IndexFunc(cluster, p.Overlaps)
			if i >= 0 {
				out = append(out, objects.Problem{Kind: objects.KindServiceCIDR, Name: c.Name, Field: "spec.cidrs", Text: fmt.Sprintf("%s overlaps %s, where pods are", p, cluster[i])})
			}
		}
	}
	return out
}

// ClusterOfNodes reports whether the settings depend on the pod CIDRs of all nodes: the
// configuration does not say where pods are, and a feature needs it.
func (c *Config) ClusterOfNodes() bool {
	return len(c.ClusterCIDRs) == 0 && (c.Masquerade || c.tunnels())
}

// clusterOf returns where all pods are.
func clusterOf(cfg *Config, in *Cluster) []netip.Prefix {
	if cfg.ClusterOfNodes() {
		return in.PodCIDRs
	}
	return cfg.ClusterCIDRs
}

func egress(cfg *Config, in *Cluster, r *objects.Report) nat.Egress {
	switch {
	case !cfg.Masquerade:
		return nat.Egress{}
	case in.Node == nil || len(in.Node.PodCIDRs) == 0:
		r.Add("spec.podCIDRs", "are not known, so nothing that pods send out of the cluster is masqueraded (--ip-masq)")
		return nat.Egress{}
	}
	return nat.Egress{Sources: in.Node.PodCIDRs, Keep: in.Keep, KeepNodes: cfg.KeepNodes}
}

func detector(cfg *Config, node *objects.Node, r *objects.Report) nat.PodMatch {
	switch cfg.LocalMode {
	case LocalNodeCIDR:
		if node == nil || len(node.PodCIDRs) == 0 {
			r.Add("spec.podCIDRs", "is not known, so pods cannot be told from other clients (--detect-local-mode=NodeCIDR)")
			return nat.PodMatch{}
		}
		return nat.PodMatch{CIDRs: node.PodCIDRs}
	case LocalBridgeInterface:
		return nat.PodMatch{Interface: cfg.BridgeInterface}
	case LocalInterfaceNamePrefix:
		return nat.PodMatch{InterfacePrefix: cfg.InterfaceNamePrefix}
	}
	return nat.PodMatch{CIDRs: cfg.ClusterCIDRs}
}

// nodePortAddrs returns the prefixes that the node's addresses must lie in. A
// family that the configuration does not mention is served on all addresses, as
// by kube-proxy. While the node is not known, "primary" cannot be: then the
// CIDRs of its family that stand beside it are served, and without any every
// address rather than none.
func nodePortAddrs(cfg *Config, node *objects.Node, r *objects.Report) []netip.Prefix {
	var out []netip.Prefix
	missing := false
	for _, s := range cfg.NodePortAddresses {
		if p, err := netip.ParsePrefix(s); err == nil {
			out = append(out, p)
			continue
		}
		primary := primaryAddrs(cfg.NodeAddress, node)
		if len(primary) == 0 {
			missing = true
		}
		for _, ip := range primary {
			out = append(out, netip.PrefixFrom(ip, ip.BitLen()))
		}
	}
	switch {
	case missing && len(out) == 0:
		r.Add("status.addresses", "are not known, so NodePorts are served on every address of the node (--nodeport-addresses=primary)")
	case missing:
		r.Add("status.addresses", "are not known, so NodePorts are not served on them (--nodeport-addresses=primary)")
	}
	for _, all := range everyAddr() {
		if !slices.ContainsFunc(out, func(p netip.Prefix) bool { return p.Addr().Is4() == all.Addr().Is4() }) {
			out = append(out, all)
		}
	}
	return out
}

func everyAddr() []netip.Prefix {
	return []netip.Prefix{
		netip.PrefixFrom(netip.IPv4Unspecified(), 0),
		netip.PrefixFrom(netip.IPv6Unspecified(), 0),
	}
}

// primaryAddrs returns the first address of each family: configured, where it is
// valid, else the Node's.
func primaryAddrs(configured netip.Addr, node *objects.Node) []netip.Addr {
	var out []netip.Addr
	seen := map[bool]bool{}
	if configured.IsValid() {
		seen[configured.Is4()] = true
		out = append(out, configured)
	}
	if node == nil {
		return out
	}
	for _, ip := range node.Addresses {
		if !seen[ip.Is4()] {
			seen[ip.Is4()] = true
			out = append(out, ip)
		}
	}
	return out
}

// SelfOf returns what the Node object says about this node.
func SelfOf(cfg *Config, node *objects.Node) Self {
	self := Self{Name: cfg.NodeName}
	if node != nil {
		self.Zone, self.Addrs = node.Zone, node.Addresses
	}
	return self
}
