// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairlead/nat"
	"fairlead/overlay"
	"fairlead/proxier/objects"
	"fairlead/proxier/proxiertest"
)

func TestSettings(t *testing.T) {
	all := proxiertest.MustPrefixes("0.0.0.0/0", "::/0")
	pods := proxiertest.MustPrefixes("10.244.0.0/16", "fd00:10:244::/56")
	node := &objects.Node{
		Name: "node-a", PodCIDRs: proxiertest.MustPrefixes("10.244.1.0/24"), Underlay: proxiertest.MustAddrs("192.0.2.1"),
		Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("2001:db8::1")},
	}
	const noAddresses = "Node node-a: status.addresses: are not known, so NodePorts are served on every address of the node (--nodeport-addresses=primary)"
	const notOnThem = "Node node-a: status.addresses: are not known, so NodePorts are not served on them (--nodeport-addresses=primary)"
	const noPodCIDRs = "Node node-a: spec.podCIDRs: is not known, so pods cannot be told from other clients (--detect-local-mode=NodeCIDR)"
	const noEgress = "Node node-a: spec.podCIDRs: are not known, so nothing that pods send out of the cluster is masqueraded (--ip-masq)"
	for _, tt := range []struct {
		name  string
		cfg   Config
		node  *objects.Node
		nodes []*objects.Node
		keep  []netip.Prefix
		objs  []*objects.ServiceCIDR
		want  nat.Settings
		told  []string
	}{{
		name: "pods by cluster CIDR, NodePorts everywhere", cfg: Config{ClusterCIDRs: pods}, node: node,
		want: nat.Settings{Pods: nat.PodMatch{CIDRs: pods}, Cluster: pods, NodePortAddrs: all},
	}, {
		name: "primary addresses", cfg: Config{NodePortAddresses: []string{"primary"}}, node: node,
		want: nat.Settings{NodePortAddrs: proxiertest.MustPrefixes("192.0.2.1/32", "2001:db8::1/128")},
	}, {
		name: "a primary address of --bind-address", cfg: Config{NodePortAddresses: []string{"primary"}, NodeAddress: netip.MustParseAddr("192.0.2.99")}, node: node,
		want: nat.Settings{NodePortAddrs: proxiertest.MustPrefixes("192.0.2.99/32", "2001:db8::1/128")},
	}, {
		name: "primary addresses without a Node", cfg: Config{NodePortAddresses: []string{"primary"}},
		want: nat.Settings{NodePortAddrs: all}, told: []string{noAddresses},
	}, {
		name: "primary addresses and CIDRs", cfg: Config{NodePortAddresses: []string{"198.51.100.0/24", "primary"}}, node: node,
		want: nat.Settings{NodePortAddrs: proxiertest.MustPrefixes("198.51.100.0/24", "192.0.2.1/32", "2001:db8::1/128")},
	}, {
		name: "primary addresses and CIDRs of both families without a Node", cfg: Config{NodePortAddresses: []string{"primary", "198.51.100.0/24", "2001:db8:1::/64"}},
		want: nat.Settings{NodePortAddrs: proxiertest.MustPrefixes("198.51.100.0/24", "2001:db8:1::/64")}, told: []string{notOnThem},
	}, {
		name: "primary addresses and CIDRs of one family without a Node", cfg: Config{NodePortAddresses: []string{"198.51.100.0/24", "primary"}},
		want: nat.Settings{NodePortAddrs: proxiertest.MustPrefixes("198.51.100.0/24", "::/0")}, told: []string{notOnThem},
	}, {
		name: "counters", cfg: Config{BackendCounters: true}, node: node,
		want: nat.Settings{BackendCounters: true, NodePortAddrs: all},
	}, {
		name: "CIDRs of one family", cfg: Config{NodePortAddresses: []string{"198.51.100.0/24"}}, node: node,
		want: nat.Settings{NodePortAddrs: proxiertest.MustPrefixes("198.51.100.0/24", "::/0")},
	}, {
		name: "pods by the node's CIDRs", cfg: Config{LocalMode: LocalNodeCIDR}, node: node,
		want: nat.Settings{Pods: nat.PodMatch{CIDRs: node.PodCIDRs}, NodePortAddrs: all},
	}, {
		name: "pods by the node's CIDRs, without a Node", cfg: Config{LocalMode: LocalNodeCIDR, ClusterCIDRs: pods},
		want: nat.Settings{Cluster: pods, NodePortAddrs: all}, told: []string{noPodCIDRs},
	}, {
		name: "pods by bridge", cfg: Config{LocalMode: LocalBridgeInterface, BridgeInterface: "cni0", ClusterCIDRs: pods}, node: node,
		want: nat.Settings{Pods: nat.PodMatch{Interface: "cni0"}, Cluster: pods, NodePortAddrs: all},
	}, {
		name: "pods by name of interface", cfg: Config{LocalMode: LocalInterfaceNamePrefix, InterfaceNamePrefix: "veth"}, node: node,
		want: nat.Settings{Pods: nat.PodMatch{InterfacePrefix: "veth"}, NodePortAddrs: all},
	}, {
		name: "service CIDRs by flag", cfg: Config{ServiceCIDRs: proxiertest.MustPrefixes("10.96.0.0/16")}, node: node,
		want: nat.Settings{NodePortAddrs: all, ServiceCIDRs: proxiertest.MustPrefixes("10.96.0.0/16")},
	}, {
		name: "service CIDRs by objects", cfg: Config{ServiceCIDRs: proxiertest.MustPrefixes("10.96.0.0/16")}, node: node,
		objs: []*objects.ServiceCIDR{{Name: "a", CIDRs: proxiertest.MustPrefixes("10.97.0.0/16")}, {Name: "b", CIDRs: proxiertest.MustPrefixes("10.97.0.0/16", "fd00:10:97::/112")}},
		want: nat.Settings{NodePortAddrs: all, ServiceCIDRs: proxiertest.MustPrefixes("10.97.0.0/16", "10.97.0.0/16", "fd00:10:97::/112")},
	}, {
		name: "service CIDR among pods", cfg: Config{ClusterCIDRs: pods, LocalMode: LocalNodeCIDR}, node: node,
		objs: []*objects.ServiceCIDR{{Name: "a", CIDRs: proxiertest.MustPrefixes("10.244.128.0/20")}, {Name: "b", CIDRs: proxiertest.MustPrefixes("10.96.0.0/16")}},
		want: nat.Settings{Pods: nat.PodMatch{CIDRs: node.PodCIDRs}, Cluster: pods, NodePortAddrs: all, ServiceCIDRs: proxiertest.MustPrefixes("10.244.128.0/20", "10.96.0.0/16")},
		told: []string{"ServiceCIDR a: spec.cidrs: 10.244.128.0/20 overlaps 10.244.0.0/16, where pods are"},
	}, {
		name: "masquerade", cfg: Config{MasqueradeMark: 0x8000, MasqueradeAll: true}, node: node,
		want: nat.Settings{MasqueradeMark: 0x8000, MasqueradeAll: true, NodePortAddrs: all},
	}, {
		name: "egress", cfg: Config{ClusterCIDRs: pods, LocalMode: LocalNodeCIDR, Masquerade: true, KeepNodes: true}, node: node,
		keep: proxiertest.MustPrefixes("10.0.0.0/8"),
		want: nat.Settings{Pods: nat.PodMatch{CIDRs: node.PodCIDRs}, Cluster: pods, NodePortAddrs: all,
			Egress: nat.Egress{Sources: node.PodCIDRs, Keep: proxiertest.MustPrefixes("10.0.0.0/8"), KeepNodes: true}},
	}, {
		name: "egress of a node that is not known", cfg: Config{ClusterCIDRs: pods, Masquerade: true},
		want: nat.Settings{Pods: nat.PodMatch{CIDRs: pods}, Cluster: pods, NodePortAddrs: all}, told: []string{noEgress},
	}, {
		name: "egress without cluster CIDR", cfg: Config{Masquerade: true}, node: node,
		nodes: []*objects.Node{node, {Name: "node-b", PodCIDRs: proxiertest.MustPrefixes("10.244.2.0/24", "fd00:10:244:2::/64")}},
		want: nat.Settings{Cluster: proxiertest.MustPrefixes("10.244.1.0/24", "10.244.2.0/24", "fd00:10:244:2::/64"), NodePortAddrs: all,
			Egress: nat.Egress{Sources: node.PodCIDRs}},
	}, {
		name: "tunnels", cfg: Config{ClusterCIDRs: pods, Overlay: &overlay.Config{Mode: overlay.Direct}, PodInterfaces: []string{"veth*"}}, node: node,
		want: nat.Settings{Pods: nat.PodMatch{CIDRs: pods}, Cluster: pods, NodePortAddrs: all,
			Tunnels: nat.Tunnels{Port: 8472, Addrs: proxiertest.MustAddrs("192.0.2.1"), PodInterfaces: []string{"veth*"}, ReplyMark: 0x2000, KeepSource: true}},
	}, {
		name: "routes without tunnels", cfg: Config{Overlay: &overlay.Config{Mode: overlay.HostGateway}}, node: node,
		want: nat.Settings{NodePortAddrs: all},
	}, {
		name: "invalid packets", cfg: Config{KeepInvalid: true}, node: node,
		want: nat.Settings{KeepInvalid: true, NodePortAddrs: all},
	}} {
		t.Run(tt.name, func(t *testing.T) {
			tt.cfg.NodeName = "node-a"
			table := NewNodeTable(&tt.cfg)
			for _, n := range tt.nodes {
				table.Set(n.Name, n)
			}
			got, problems := SettingsOf(&tt.cfg, &Cluster{Node: tt.node, PodCIDRs: table.PodCIDRs(), ServiceCIDRs: tt.objs, Keep: tt.keep})
			if diff := cmp.Diff(tt.want, got, proxiertest.Values); diff != "" {
				t.Errorf("settings (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.told, proxiertest.ProblemTexts(problems)); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

func TestConfigValidate(t *testing.T) {
	for _, tt := range []struct {
		name string
		cfg  Config
		want string
	}{
		{name: "good", cfg: Config{NodeName: "node-a", NodePortAddresses: []string{NodePortPrimary}}},
		{name: "nothing", want: "--node-name: is empty"},
		{name: "two bits", cfg: Config{NodeName: "a", MasqueradeMark: 0x4001}, want: "--masquerade-bit: 0x4001 is not a single bit"},
		{name: "no CIDR", cfg: Config{NodeName: "a", NodePortAddresses: []string{"10.0.0.1"}}, want: `--nodeport-addresses: "10.0.0.1" is neither a CIDR nor "primary"`},
		{name: "no bridge", cfg: Config{NodeName: "a", LocalMode: LocalBridgeInterface}, want: `--pod-bridge-interface: "" is not an interface name of 1 to 15 characters`},
		{name: "a pattern", cfg: Config{NodeName: "a", LocalMode: LocalInterfaceNamePrefix, InterfaceNamePrefix: "veth*"}, want: `--pod-interface-name-prefix: "veth*" is not an interface name of 1 to 15 characters`},
		{name: "no mode", cfg: Config{NodeName: "a", LocalMode: "Magic"}, want: `--detect-local-mode: "Magic" is not one of [ClusterCIDR NodeCIDR BridgeInterface InterfaceNamePrefix]`},
		{name: "two errors", cfg: Config{MasqueradeMark: 3}, want: "--node-name: is empty\n--masquerade-bit: 0x3 is not a single bit"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := ""
			if err := tt.cfg.Validate(); err != nil {
				got = err.Error()
			}
			if got != tt.want {
				t.Errorf("Validate() = %q, want %q", got, tt.want)
			}
		})
	}
}
