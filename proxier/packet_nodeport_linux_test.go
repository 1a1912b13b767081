// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"net/netip"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"fairlead/internal/inet"
	"fairlead/internal/lab"
	"fairlead/proxier/resolve"
)

// TestPacketNodePortAddresses tells by a server of the host which addresses are
// left to it. Loopback addresses are, unless those of IPv4 are asked for.
func TestPacketNodePortAddresses(t *testing.T) {
	t.Parallel()
	b := newBed(t, defaults(), lab.PTP)
	loopback := [2]netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback()}
	check(t, b.node.Sysctl("ipv4/conf/all/route_localnet", "1"))
	addrs := append(append(b.node.Addrs(), second[:]...), loopback[:]...)
	_, err := b.node.ServeAs("host", inet.TCP, nodePort(1), addrs...)
	check(t, err)
	b.apply(t, serviceObject(1))
	b.apply(t, sliceObjects(1, ready(b.here), ready(b.there))...)
	const served, left = "here there m", "host -"
	for _, tt := range []struct {
		name            string
		addresses       []string
		primary, second [2]string
	}{
		{"primary", []string{resolve.NodePortPrimary}, [2]string{served, served}, [2]string{left, left}},
		{"all", nil, [2]string{served, served}, [2]string{served, served}},
		{"match-all", []string{"0.0.0.0/0", "::/0"}, [2]string{served, served}, [2]string{served, served}},
		{"a CIDR of each family", []string{"192.168.60.0/24", "fd00:60::/64"}, [2]string{left, left}, [2]string{served, served}},
		{"several", []string{"192.168.50.1/32", "192.168.60.0/24", "fd00:50::/64"}, [2]string{served, served}, [2]string{served, left}},
		{"one family", []string{"192.168.60.0/24"}, [2]string{left, served}, [2]string{served, served}},
		{"mixed", []string{resolve.NodePortPrimary, "192.168.60.0/24"}, [2]string{served, served}, [2]string{served, left}},
		{"loopback", []string{"127.0.0.0/8", "::1/128"}, [2]string{left, left}, [2]string{left, left}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := defaults()
			cfg.NodePortAddresses = tt.addresses
			b.restart(t, cfg)
			onLoopback := [2]string{left, left}
			if tt.name == "loopback" {
				onLoopback[0] = served
			}
			for family := range ipFamilies {
				primary, other := tcp(b.node.Addrs()[family], nodePort(1)), tcp(second[family], nodePort(1))
				b.expectAll(t,
					try{b.external(), primary, tt.primary[family]},
					try{b.external(), other, tt.second[family]},
					try{b.itself(), primary, tt.primary[family]},
					try{b.pod(), primary, tt.primary[family]},
					try{b.pod(), other, tt.second[family]},
					try{origin{b.node.Host, loopback}, tcp(loopback[family], nodePort(1)), onLoopback[family]},
					try{b.pod(), b.frontend("ClusterIP", 1, family), "here there -"})
			}
		})
	}
}

// TestPacketNodePortNewAddress gives the node an address while the agent runs,
// and takes it away again.
func TestPacketNodePortNewAddress(t *testing.T) {
	t.Parallel()
	cfg := defaults()
	cfg.NodePortAddresses = []string{"192.168.70.0/24", "fd00:70::/64"}
	b := newBed(t, cfg, lab.PTP)
	b.apply(t, serviceObject(1))
	b.apply(t, sliceObjects(1, ready(b.here), ready(b.there))...)
	for _, ip := range []netip.Addr{netip.MustParseAddr("192.168.70.1"), netip.MustParseAddr("fd00:70::1")} {
		p := netip.PrefixFrom(ip, ip.BitLen())
		to := tcp(ip, nodePort(1))
		b.expect(t, b.pod(), to, "timeout") // the fabric cannot tell the pod
		check(t, b.node.AddAddr("lo", p))
		check(t, b.RouteVIPs(p, b.node))
		b.expect(t, b.pod(), to, "here there m")
		b.expect(t, b.external(), to, "here there m")
		b.expect(t, b.itself(), to, "here there m")
		check(t, b.node.RemoveAddr("lo", p))
		b.expect(t, b.pod(), to, "timeout")
	}
}

// TestPacketNodePortNewNode changes the primary address in the Node object.
func TestPacketNodePortNewNode(t *testing.T) {
	t.Parallel()
	b := newBed(t, defaults(), lab.PTP)
	b.apply(t, serviceObject(1))
	b.apply(t, sliceObjects(1, ready(b.here), ready(b.there))...)
	node := nodeObject(b.node, "zone-a")
	for i, ip := range second {
		node.Status.Addresses[i].Address = ip.String()
	}
	b.apply(t, node)
	for family, ip := range second {
		b.expect(t, b.external(), tcp(ip, nodePort(1)), "here there m")
		b.expect(t, b.external(), b.frontend("NodePort", 1, family), "refused")
	}
}

// TestPacketSingleStack takes a Service's family away: its node port and its
// other addresses of that family are nobody's then.
func TestPacketSingleStack(t *testing.T) {
	t.Parallel()
	b := newBed(t, defaults(), lab.PTP)
	_, err := b.node.ServeAs("host", inet.TCP, nodePort(1), b.node.Addrs()...)
	check(t, err)
	b.apply(t, sliceObjects(1, ready(b.here))...)
	for family := range ipFamilies {
		only := func(svc *corev1.Service) { svc.Spec.ClusterIPs = svc.Spec.ClusterIPs[family : family+1] }
		b.apply(t, serviceObject(1, only))
		b.expectAll(t,
			try{b.pod(), b.frontend("ClusterIP", 1, family), "here -"},
			try{b.pod(), b.frontend("ClusterIP", 1, 1-family), "timeout"},
			try{b.external(), b.frontend("NodePort", 1, family), "here m"},
			try{b.external(), b.frontend("NodePort", 1, 1-family), "host -"},
			try{b.external(), b.frontend("LB VIP", 1, family), "here m"},
			try{b.external(), b.frontend("LB VIP", 1, 1-family), "unreachable"}) // it loops between node and fabric
	}
}
