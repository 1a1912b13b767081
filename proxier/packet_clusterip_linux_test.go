// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"net/netip"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"fairlead/internal/inet"
	"fairlead/internal/lab"
	"fairlead/internal/lab/labtest"
	"fairlead/proxier/proxiertest"
)

// TestPacketNoEndpoints has new connections refused, wherever they come from
// and whatever the protocol, until there is an endpoint and after the last.
func TestPacketNoEndpoints(t *testing.T) {
	t.Parallel()
	b := newBed(t, defaults(), lab.PTP)
	b.apply(t, serviceObject(1, everyProtocol))
	expect := func(t *testing.T, want func(masqueraded bool) string) {
		t.Helper()
		var tries []try
		for family := range ipFamilies {
			for _, proto := range everyProto {
				for _, kind := range []string{"ClusterIP", "NodePort", "LB VIP", "external IP"} {
					to := b.frontend(kind, 1, family)
					to.Proto = proto
					tries = append(tries, try{b.pod(), to, want(kind != "ClusterIP")}, try{b.external(), to, want(true)})
					if proto == inet.TCP { // by the node's own socket
						tries = append(tries, try{b.itself(), to, want(true)})
					}
				}
			}
		}
		b.expectAll(t, tries...)
	}
	refused := func(bool) string { return "refused" }
	endpoints := func(members ...member) []any { return slicesWith(1, everyProtocolPorts(), members...) }
	expect(t, refused)
	b.apply(t, endpoints(starting(b.here), failing(b.there))...)
	expect(t, refused)
	b.apply(t, endpoints(ready(b.here), failing(b.there))...)
	expect(t, func(masqueraded bool) string {
		if masqueraded {
			return "here m"
		}
		return "here -"
	})
	b.remove(t, endpoints()...)
	// A try over UDP or SCTP that happens to have the source port of an earlier one meets
	// the endpoint of that one until its flow is deleted, half a second later for SCTP.
	b.sweep(t)
	expect(t, refused)
}

// everyProtocol gives a Service port 80 over each protocol, on one node port.
func everyProtocol(svc *corev1.Service) {
	port := svc.Spec.Ports[0]
	svc.Spec.Ports = nil
	for _, proto := range []corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP} {
		port.Protocol, port.Name = proto, portName(proto, port.Port)
		svc.Spec.Ports = append(svc.Spec.Ports, port)
	}
}

func everyProtocolPorts() []discoveryv1.EndpointPort {
	var out []discoveryv1.EndpointPort
	for _, proto := range []corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP} {
		out = append(out, slicePort(portName(proto, 80), proto, targetPort))
	}
	return out
}

// TestPacketClusterIP is kube-proxy's TestClusterIPGeneral.
func TestPacketClusterIP(t *testing.T) {
	t.Parallel()
	b := newBed(t, defaults(), lab.PTP)
	for name, port := range map[string]uint16{"here-8443": 8443, "here-5353": 5353, "here-53": 53} {
		for _, proto := range everyProto {
			_, err := b.here.ServeAs(name, proto, port, b.here.Addrs()...)
			check(t, err)
		}
	}
	const TCP, UDP, SCTP = corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP
	b.apply(t, serviceObject(1), serviceObject(2, portsOf(servicePort(TCP, 443))),
		serviceObject(3, portsOf(servicePort(TCP, 53), servicePort(UDP, 53), servicePort(SCTP, 53))))
	b.apply(t, sliceObjects(1, ready(b.here), ready(b.there))...)
	b.apply(t, slicesWith(2, []discoveryv1.EndpointPort{slicePort("t443", TCP, 8443)}, ready(b.here))...)
	b.apply(t, slicesWith(3, []discoveryv1.EndpointPort{
		slicePort("t53", TCP, 5353), slicePort("u53", UDP, 53), slicePort("s53", SCTP, 53),
	}, ready(b.here))...)

	eachFamily(t, func(t *testing.T, family int) {
		t.Helper()
		svc1, svc2, svc3 := clusterIP(1)[family], clusterIP(2)[family], clusterIP(3)[family]
		b.expectAll(t,
			try{b.pod(), tcp(svc1, 80), "here there -"},
			try{b.pod(), tcp(svc2, 443), "here-8443 -"}, // another target port
			try{b.pod(), tcp(svc3, 53), "here-5353 -"},  // one port, three protocols
			try{b.pod(), udp(svc3, 53), "here-53 -"},
			try{b.pod(), sctp(svc3, 53), "here-53 -"},
			try{b.pod(), udp(svc1, 80), "refused"}, // TCP only
			try{b.pod(), sctp(svc1, 80), "refused"},
			try{b.pod(), tcp(svc1, 443), "refused"}, // another Service's port
			try{b.itself(), tcp(svc1, 443), "refused"},
			try{b.external(), tcp(svc1, 443), "refused"},
		)
	})
}

// TestPacketHairpin has an endpoint dial itself: it must see another address, or
// it would answer without the node.
func TestPacketHairpin(t *testing.T) {
	t.Parallel()
	for name, link := range map[string]lab.PodLink{"ptp": lab.PTP, "bridge": lab.Bridge} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t, defaults(), link)
			b.apply(t, serviceObject(1, everyProtocol))
			b.apply(t, slicesWith(1, everyProtocolPorts(), ready(b.here))...)
			b.apply(t, serviceObject(2))
			b.apply(t, sliceObjects(2, ready(b.here), ready(b.there))...)
			for family := range ipFamilies {
				for _, kind := range []string{"ClusterIP", "NodePort", "LB VIP", "external IP"} {
					for _, proto := range everyProto {
						to := b.frontend(kind, 1, family)
						to.Proto = proto
						b.expect(t, from(b.here.Host), to, "here m")
					}
				}
				// The other endpoint sees who it is.
				if got := b.probe(t.Context(), from(b.here.Host), tcp(clusterIP(2)[family], 80), "there -"); got != "here m" && got != "there -" {
					t.Errorf("got %q, want here m or there -", got)
				}
			}
		})
	}
}

// TestPacketServiceCIDR drops what goes to an address that no Service has,
// follows ServiceCIDR objects, and uses the configuration without any.
func TestPacketServiceCIDR(t *testing.T) {
	t.Parallel()
	cfg := defaults()
	cfg.ServiceCIDRs = proxiertest.MustPrefixes("10.97.0.0/16", "fd00:10:97::/112")
	b := newBed(t, cfg, lab.PTP)
	labtest.Serve(t, b.Outside, 80, inet.TCP)
	other := [2]netip.Addr{netip.MustParseAddr("10.97.0.1"), netip.MustParseAddr("fd00:10:97::1")}
	expect := func(t *testing.T, name, want, wantOther string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			var tries []try
			for family := range ipFamilies {
				to := tcp(clusterIP(1)[family], 80)
				tries = append(tries, try{b.pod(), to, want}, try{b.external(), to, want}, try{b.itself(), to, want},
					try{b.itself(), tcp(other[family], 80), wantOther})
			}
			b.expectAll(t, tries...)
		})
	}
	// The fabric knows no such addresses, and says so to the node.
	expect(t, "unallocated", "timeout", "unreachable")
	b.apply(t, serviceObject(1))
	expect(t, "allocated, without endpoints", "refused", "unreachable")
	b.remove(t, serviceObject(1))
	expect(t, "deallocated", "timeout", "unreachable")
	b.apply(t, cidrObject("more", "10.97.0.0/16", "fd00:10:97::/112"))
	expect(t, "two ServiceCIDRs", "timeout", "timeout")
	b.apply(t, cidrObject("same", "10.97.0.0/16", "fd00:10:97::/112"))
	b.remove(t, cidrObject("more"))
	expect(t, "one of two that say the same removed", "timeout", "timeout")
	b.remove(t, cidrObject("same"))
	expect(t, "removed", "timeout", "unreachable")
	b.remove(t, cidrObject("kubernetes"))
	t.Run("none: by configuration", func(t *testing.T) {
		b.expectAll(t, try{b.itself(), tcp(other[0], 80), "timeout"}, try{b.itself(), tcp(other[1], 80), "timeout"})
	})
}
