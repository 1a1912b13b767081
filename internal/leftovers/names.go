// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package leftovers

import (
	"slices"
	"strings"
)

// A jump is a rule that an owner puts into a chain of iptables itself.
type jump struct{ table, from, to string }

// names are the names of an owner's objects.
type names struct {
	tables   []string // of nftables, "ip kube-proxy"
	chains   []string // of iptables
	prefixes []string // of chains that are named after a hash
	jumps    []jump
	sets     []string // of ipset; those of IPv6 have KUBE-6- instead of KUBE-
	devices  map[string]string
}

// namesOf returns the names of an owner's objects that are the same on every
// node.
//
// kube-proxy: pkg/proxy/{iptables,ipvs,nftables}, cleanup.go and proxier.go, 1.18
// to 1.37. Not in the list are KUBE-FIREWALL, KUBE-KUBELET-CANARY,
// KUBE-IPTABLES-HINT and KUBE-MARK-DROP, which are the kubelet's
// (pkg/kubelet/kubelet_network_linux.go). Up to 1.27 the kubelet made
// KUBE-MARK-MASQ and KUBE-POSTROUTING, too, for kube-proxy to use.
//
// flannel: pkg/trafficmngr, 0.20 to 0.28.
func namesOf(o Owner) names {
	switch o {
	case KubeProxy:
		return kubeProxyNames()
	case Flannel:
		return names{
			tables: []string{"ip flannel-ipv4", "ip6 flannel-ipv6"},
			chains: []string{"FLANNEL-POSTRTG", "FLANNEL-FWD"},
			jumps:  []jump{{"nat", "POSTROUTING", "FLANNEL-POSTRTG"}, {"filter", "FORWARD", "FLANNEL-FWD"}},
			devices: map[string]string{
				"flannel-wg": "wireguard", "flannel-wg-v6": "wireguard", "flannel.ipip": "ipip",
			},
		}
	}
	return names{}
}

func kubeProxyNames() names {
	return names{
		tables: []string{"ip kube-proxy", "ip6 kube-proxy"},
		chains: []string{
			"KUBE-SERVICES", "KUBE-EXTERNAL-SERVICES", "KUBE-NODEPORTS", "KUBE-POSTROUTING", "KUBE-MARK-MASQ",
			"KUBE-FORWARD", "KUBE-PROXY-FIREWALL", "KUBE-PROXY-CANARY",
			// Mode ipvs.
			"KUBE-SOURCE-RANGES-FIREWALL", "KUBE-NODE-PORT", "KUBE-LOAD-BALANCER", "KUBE-IPVS-FILTER", "KUBE-IPVS-OUT-FILTER",
		},
		prefixes: []string{"KUBE-SVC-", "KUBE-SVL-", "KUBE-FW-", "KUBE-EXT-", "KUBE-SEP-", "KUBE-XLB-"},
		jumps: []jump{
			{"nat", "PREROUTING", "KUBE-SERVICES"}, {"nat", "OUTPUT", "KUBE-SERVICES"},
			{"nat", "POSTROUTING", "KUBE-POSTROUTING"},
			{"filter", "INPUT", "KUBE-EXTERNAL-SERVICES"}, {"filter", "FORWARD", "KUBE-EXTERNAL-SERVICES"},
			{"filter", "INPUT", "KUBE-NODEPORTS"}, {"filter", "FORWARD", "KUBE-FORWARD"},
			{"filter", "FORWARD", "KUBE-SERVICES"}, {"filter", "OUTPUT", "KUBE-SERVICES"}, {"filter", "INPUT", "KUBE-SERVICES"},
			{"filter", "INPUT", "KUBE-PROXY-FIREWALL"}, {"filter", "FORWARD", "KUBE-PROXY-FIREWALL"}, {"filter", "OUTPUT", "KUBE-PROXY-FIREWALL"},
			{"filter", "INPUT", "KUBE-NODE-PORT"}, {"filter", "INPUT", "KUBE-IPVS-FILTER"}, {"filter", "OUTPUT", "KUBE-IPVS-OUT-FILTER"},
		},
		sets: []string{
			"KUBE-LOOP-BACK", "KUBE-CLUSTER-IP", "KUBE-EXTERNAL-IP", "KUBE-EXTERNAL-IP-LOCAL", "KUBE-IPVS-IPS",
			"KUBE-LOAD-BALANCER", "KUBE-LOAD-BALANCER-LOCAL", "KUBE-LOAD-BALANCER-FW",
			"KUBE-LOAD-BALANCER-SOURCE-IP", "KUBE-LOAD-BALANCER-SOURCE-CIDR", "KUBE-HEALTH-CHECK-NODE-PORT",
			"KUBE-NODE-PORT-TCP", "KUBE-NODE-PORT-LOCAL-TCP", "KUBE-NODE-PORT-UDP", "KUBE-NODE-PORT-LOCAL-UDP",
			"KUBE-NODE-PORT-SCTP-HASH", "KUBE-NODE-PORT-LOCAL-SCTP-HASH",
		},
		devices: map[string]string{"kube-ipvs0": "dummy"},
	}
}

func (n *names) ownsTable(t *Table) bool { return slices.Contains(n.tables, t.String()) }

// iptables reports whether t is a table that iptables-nft writes to.
func (t *Table) iptables() bool {
	return (t.Family == "ip" || t.Family == "ip6") && slices.Contains([]string{"filter", "nat", "mangle", "raw"}, t.Name)
}

func (n *names) ownsChain(name string) bool {
	return slices.Contains(n.chains, name) || n.prefix(name) != ""
}

// prefix returns the prefix of a chain that is named after a hash.
func (n *names) prefix(chain string) string {
	for _, p := range n.prefixes {
		if strings.HasPrefix(chain, p) {
			return p
		}
	}
	return ""
}

func (n *names) ownsSet(name string) bool {
	return slices.Contains(n.sets, strings.Replace(name, "KUBE-6-", "KUBE-", 1))
}
