// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"net/netip"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"fairlead/internal/inet"
	"fairlead/internal/lab"
)

func sourceRanges(list ...string) func(*corev1.Service) {
	return func(svc *corev1.Service) { svc.Spec.LoadBalancerSourceRanges = list }
}

// TestPacketSourceRanges is kube-proxy's TestLoadBalancer, but for families
// without a range: these are closed.
func TestPacketSourceRanges(t *testing.T) {
	t.Parallel()
	b := newBed(t, defaults(), lab.PTP)
	b.apply(t,
		// Outside and the node may dial it, though not from the second address.
		serviceObject(1, sourceRanges(" 198.51.100.0/24", "2001:db8:100::/64 ", "192.168.50.1/32", "fd00:50::1/128")),
		serviceObject(2, sourceRanges("192.0.2.0/24", "2001:db8:9::/64")),
		serviceObject(3, sourceRanges("198.51.100.0/24")),
		serviceObject(4, sourceRanges("10.244.0.0/16", "fd00:10:244::/48"), externalLocal))
	for n := 1; n <= 4; n++ {
		b.apply(t, sliceObjects(n, ready(b.here), ready(b.there))...)
	}
	primary := from(b.node.Host)
	eachFamily(t, func(t *testing.T, family int) {
		t.Helper()
		tries := []try{
			{b.external(), b.frontend("LB VIP", 1, family), "here there m"},
			{b.pod(), b.frontend("LB VIP", 1, family), "timeout"},
			{b.itself(), b.frontend("LB VIP", 1, family), "timeout"},
			{b.external(), b.frontend("LB VIP", 2, family), "timeout"},
			{b.pod(), b.frontend("LB VIP", 2, family), "timeout"},
			{primary, b.frontend("LB VIP", 2, family), "timeout"},
			{b.external(), b.frontend("LB VIP", 4, family), "timeout"},
			{b.pod(), b.frontend("LB VIP", 4, family), "here there -"},
		}
		for n := 1; n <= 3; n++ { // ranges are for the VIP
			tries = append(tries,
				try{b.pod(), b.frontend("ClusterIP", n, family), "here there -"},
				try{b.external(), b.frontend("NodePort", n, family), "here there m"},
				try{b.external(), b.frontend("external IP", n, family), "here there m"})
		}
		open := "here there m"
		if ipFamilies[family] == "IPv6" {
			open = "timeout"
		}
		tries = append(tries, try{b.external(), b.frontend("LB VIP", 3, family), open}, try{b.pod(), b.frontend("LB VIP", 3, family), "timeout"})
		b.expectAll(t, tries...)
	})
	t.Run("changed live", func(t *testing.T) {
		for _, step := range []struct {
			ranges []string
			want   string
		}{{[]string{"0.0.0.0/0", "::/0"}, "here there m"}, {[]string{"192.0.2.0/24", "2001:db8:9::/64"}, "timeout"}, {nil, "here there m"}} {
			b.apply(t, serviceObject(2, sourceRanges(step.ranges...)))
			b.expectAll(t, try{b.external(), b.frontend("LB VIP", 2, 0), step.want}, try{b.external(), b.frontend("LB VIP", 2, 1), step.want})
		}
	})
}

// TestPacketSourceIsVIP is the node with the VIP on a device of its own, where
// its packets to the VIP come from the VIP. It may dial because the node may.
func TestPacketSourceIsVIP(t *testing.T) {
	t.Parallel()
	b := newBed(t, defaults(), lab.PTP)
	b.apply(t, serviceObject(1, sourceRanges("192.168.50.1/32", "fd00:50::1/128")), serviceObject(2, sourceRanges("192.0.2.0/24", "2001:db8:9::/64")))
	for n := 1; n <= 2; n++ {
		b.apply(t, sliceObjects(n, ready(b.here), ready(b.there))...)
		for _, ip := range vip(n) {
			check(t, b.node.AddAddr("lo", netip.PrefixFrom(ip, ip.BitLen())))
		}
	}
	for family := range ipFamilies {
		b.expectAll(t,
			try{origin{b.node.Host, vip(1)}, b.frontend("LB VIP", 1, family), "here there m"},
			try{origin{b.node.Host, vip(2)}, b.frontend("LB VIP", 2, family), "timeout"},
			try{b.external(), b.frontend("LB VIP", 1, family), "timeout"})
	}
}

// TestPacketIPMode leaves an address alone whose load balancer is a proxy, and
// serves it once it is not.
func TestPacketIPMode(t *testing.T) {
	t.Parallel()
	b := newBed(t, defaults(), lab.PTP)
	balancer := [2]netip.Addr{netip.MustParseAddr("198.51.100.20"), netip.MustParseAddr("2001:db8:100::20")}
	for i, bits := range []int{24, 64} {
		check(t, b.Outside.AddAddr("eth0", netip.PrefixFrom(balancer[i], bits)))
	}
	_, err := b.Outside.ServeAs("balancer", inet.TCP, 80, balancer[:]...)
	check(t, err)
	b.apply(t, sliceObjects(1, ready(b.here))...)
	vipMode, proxyMode := corev1.LoadBalancerIPModeVIP, corev1.LoadBalancerIPModeProxy
	for _, step := range []struct {
		mode *corev1.LoadBalancerIPMode
		want string
	}{{&proxyMode, "balancer -"}, {&vipMode, "here m"}, {&proxyMode, "balancer -"}, {nil, "here m"}} {
		b.apply(t, serviceObject(1, func(svc *corev1.Service) {
			svc.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{
				{Hostname: "lb.example.org"}, // nothing for a node to do
				{IP: balancer[0].String(), IPMode: step.mode}, {IP: balancer[1].String(), IPMode: step.mode},
			}
		}))
		for family := range ipFamilies {
			b.expect(t, b.itself(), tcp(balancer[family], 80), step.want)
		}
	}
}

// TestPacketNoNodePort is a LoadBalancer without node ports: its port on the
// node belongs to whoever listens there.
func TestPacketNoNodePort(t *testing.T) {
	t.Parallel()
	b := newBed(t, defaults(), lab.PTP)
	_, err := b.node.ServeAs("host", inet.TCP, nodePort(1), b.node.Addrs()...)
	check(t, err)
	no := false
	b.apply(t, sliceObjects(1, ready(b.here))...)
	b.apply(t, serviceObject(1, func(svc *corev1.Service) {
		svc.Spec.AllocateLoadBalancerNodePorts = &no
		svc.Spec.Ports[0].NodePort = 0
	}))
	for family := range ipFamilies {
		b.expectAll(t,
			try{b.external(), b.frontend("NodePort", 1, family), "host -"},
			try{b.external(), b.frontend("LB VIP", 1, family), "here m"},
			try{b.external(), b.frontend("external IP", 1, family), "here m"})
	}
}

// TestPacketExternalIP is an external IP that the node has itself: the Service's
// ports on it are the Service's, all others the node's.
func TestPacketExternalIP(t *testing.T) {
	t.Parallel()
	b := newBed(t, defaults(), lab.PTP)
	for _, port := range []uint16{80, 81} {
		_, err := b.node.ServeAs("host", inet.TCP, port, second[:]...)
		check(t, err)
	}
	b.apply(t, sliceObjects(1, ready(b.here), ready(b.there))...)
	svc := serviceObject(1, func(svc *corev1.Service) {
		svc.Spec.ExternalIPs = []string{second[0].String(), second[1].String()}
	})
	b.apply(t, svc)
	for _, ip := range second {
		for _, client := range []origin{b.pod(), b.external(), b.itself()} {
			b.expect(t, client, tcp(ip, 80), "here there m")
		}
		b.expect(t, b.external(), tcp(ip, 81), "host -")
	}
	b.remove(t, svc)
	for _, ip := range second {
		b.expect(t, b.external(), tcp(ip, 80), "host -")
	}
}
