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
	"fairlead/proxier/convert"
)

// hinted adds hints to an endpoint: for a zone and a node, empty for none.
func hinted(m member, zone, node string) member {
	return member{m.pod, func(ep *discoveryv1.Endpoint) {
		m.with(ep)
		ep.Hints = &discoveryv1.EndpointHints{}
		if zone != "" {
			ep.Hints.ForZones = []discoveryv1.ForZone{{Name: zone}}
		}
		if node != "" {
			ep.Hints.ForNodes = []discoveryv1.ForNode{{Name: node}}
		}
	}}
}

// TestPacketTopology follows hints for this node, then for its zone, where every
// ready endpoint has them. They are not for traffic that must stay here.
func TestPacketTopology(t *testing.T) {
	t.Parallel()
	b, here2, _ := newPairBed(t)
	zones := func(here, there string) []member {
		return []member{hinted(ready(b.here), here, ""), hinted(ready(b.there), there, "")}
	}
	b.apply(t, serviceObject(1))
	b.endpointSteps(t, []endpointStep{
		{"our zone", zones("zone-a", "zone-b"), "here -", "here m"},
		{"the endpoint elsewhere is for us", zones("zone-b", "zone-a"), "there -", "there m"},
		{"other zones only", zones("zone-b", "zone-c"), "here there -", "here there m"},
		{"one without hints", []member{hinted(ready(b.here), "zone-a", ""), ready(b.there)}, "here there -", "here there m"},
		{"one without hints that is not ready", []member{hinted(ready(b.here), "zone-a", ""), draining(b.there), starting(here2)}, "here -", "here m"},
		{"our node", []member{hinted(ready(b.here), "zone-a", "node-1"), hinted(ready(here2), "zone-a", "node-2"), hinted(ready(b.there), "zone-a", "node-2")}, "here -", "here m"},
		{"no endpoint for our node", []member{hinted(ready(b.here), "zone-b", "node-3"), hinted(ready(b.there), "zone-a", "node-2")}, "there -", "there m"},
		{"one without node hint", []member{hinted(ready(b.here), "zone-a", "node-1"), hinted(ready(b.there), "zone-a", "")}, "here there -", "here there m"},
		{"terminating ones whatever their hints", []member{hinted(draining(b.here), "zone-b", ""), hinted(draining(b.there), "zone-c", "")}, "here there -", "here there m"},
		{"before the node moves", zones("zone-a", "zone-b"), "here -", "here m"},
	})
	b.apply(t, nodeObject(b.node, "zone-b"))
	b.endpointSteps(t, []endpointStep{{"the node is in another zone", zones("zone-a", "zone-b"), "there -", "there m"}})
	b.apply(t, nodeObject(b.node, ""))
	b.endpointSteps(t, []endpointStep{{"the node has no zone", zones("zone-a", "zone-b"), "here there -", "here there m"}})
	b.apply(t, nodeObject(b.node, "zone-b"), serviceObject(1, externalLocal, internalLocal))
	b.endpointSteps(t, []endpointStep{{"both policies Local", zones("zone-a", "zone-b"), "here -", "here -"}})
}

// TestPacketLabels hands Services to other proxies and takes them back, and does
// not see the endpoints of headless slices.
func TestPacketLabels(t *testing.T) {
	t.Parallel()
	b := newBed(t, defaults(), lab.PTP)
	labelled := func(key string) func(*corev1.Service) {
		return func(svc *corev1.Service) { svc.Labels = map[string]string{key: "x"} }
	}
	headless := sliceObjects(1, ready(b.here))
	for _, obj := range headless {
		obj.(*discoveryv1.EndpointSlice).Labels[corev1.IsHeadlessService] = ""
	}
	externalName := func(svc *corev1.Service) {
		svc.Spec.Type, svc.Spec.ExternalName = corev1.ServiceTypeExternalName, "example.org"
	}
	withoutAddress := func(svc *corev1.Service) {
		svc.Spec.Type, svc.Spec.ClusterIPs = corev1.ServiceTypeClusterIP, []string{corev1.ClusterIPNone}
		svc.Spec.ClusterIP = corev1.ClusterIPNone
	}
	b.apply(t, sliceObjects(1, ready(b.here))...)
	for _, step := range []struct {
		name    string
		objects []any
		want    string
	}{
		{"served", []any{serviceObject(1)}, "here -"},
		{"by another proxy", []any{serviceObject(1, labelled(convert.LabelServiceProxyName))}, "timeout"},
		{"ours again", []any{serviceObject(1)}, "here -"},
		{"ExternalName", []any{serviceObject(1, externalName)}, "timeout"},
		{"headless", []any{serviceObject(1, withoutAddress)}, "timeout"},
		{"the Service has the headless label only", []any{serviceObject(1, labelled(corev1.IsHeadlessService))}, "here -"},
		{"and its slices", headless, "refused"},
		{"the slices have lost it", sliceObjects(1, ready(b.here)), "here -"},
	} {
		t.Run(step.name, func(t *testing.T) {
			b.apply(t, step.objects...)
			b.expectAll(t, try{b.pod(), b.frontend("ClusterIP", 1, 0), step.want}, try{b.pod(), b.frontend("ClusterIP", 1, 1), step.want})
		})
	}
}

// TestPacketNotReadyAddresses is a Service that publishes endpoints which are
// not ready: the controller calls them ready, and that is what counts.
func TestPacketNotReadyAddresses(t *testing.T) {
	t.Parallel()
	b := newBed(t, defaults(), lab.PTP)
	b.apply(t, serviceObject(1, func(svc *corev1.Service) { svc.Spec.PublishNotReadyAddresses = true }))
	published := condition(b.here, true, false, false)
	unset := member{b.here, nil} // ready, as the API has it
	b.endpointSteps(t, []endpointStep{
		{"published", []member{published, starting(b.there)}, "here -", "here m"},
		{"not published", []member{starting(b.here), starting(b.there)}, "refused", "refused"},
		{"published while it terminates", []member{condition(b.here, true, false, true), starting(b.there)}, "here -", "here m"},
		{"not published while it terminates", []member{condition(b.here, false, false, true), starting(b.there)}, "refused", "refused"},
		{"and still serves", []member{draining(b.here), starting(b.there)}, "here -", "here m"},
		{"conditions unset", []member{unset, starting(b.there)}, "here -", "here m"},
	})
}

// TestPacketSlices spreads a Service over several slices, some of which repeat
// endpoints, and has them arrive before the Service.
func TestPacketSlices(t *testing.T) {
	t.Parallel()
	b, here2, there2 := newPairBed(t)
	_, err := b.here.ServeAs("here-8081", inet.TCP, 8081, b.here.Addrs()...)
	check(t, err)
	renamed := func(objects []any, suffix string) []any {
		for _, obj := range objects {
			obj.(*discoveryv1.EndpointSlice).Name += suffix
		}
		return objects
	}
	first := renamed(sliceObjects(1, ready(b.here), ready(b.there)), "-a")
	again := renamed(sliceObjects(1, ready(b.there), ready(here2)), "-b")
	stale := renamed(sliceObjects(1, draining(b.here), starting(there2)), "-c")
	otherPort := renamed(slicesWith(1, []discoveryv1.EndpointPort{slicePort("", corev1.ProtocolTCP, 8081)}, ready(b.here)), "-d")
	expect := func(name, want string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			for family := range ipFamilies {
				b.expect(t, b.pod(), b.frontend("ClusterIP", 1, family), want)
			}
		})
	}
	b.apply(t, first...)
	b.apply(t, again...)
	expect("before the Service", "timeout")
	b.apply(t, serviceObject(1))
	expect("two slices", "here there here2 -")
	b.apply(t, stale...)
	expect("a third one knows less", "here there here2 -")
	b.apply(t, otherPort...)
	expect("another port in a fourth", "here there here2 here-8081 -")
	b.remove(t, otherPort...)
	b.remove(t, first...)
	expect("without the first", "there here2 -")
	b.remove(t, again...)
	expect("the third is left", "here -")
}

// TestPacketSloppyAddresses reads leading zeros as decimal, as the API server
// does (CVE-2021-29923).
func TestPacketSloppyAddresses(t *testing.T) {
	t.Parallel()
	b := newBed(t, defaults(), lab.PTP)
	svc := serviceObject(1, func(svc *corev1.Service) {
		svc.Spec.ClusterIPs[0] = "010.096.000.041"
		svc.Spec.ExternalIPs[0] = "203.000.113.042"
		svc.Status.LoadBalancer.Ingress[0].IP = "203.0.113.043"
		svc.Spec.LoadBalancerSourceRanges = []string{"198.051.100.000/24", "2001:db8:100::/64"}
	})
	slices := sliceObjects(1, ready(b.here))
	slices[0].(*discoveryv1.EndpointSlice).Endpoints[0].Addresses[0] = "010.244.001.003"
	if want := "10.244.1.3"; b.here.Addr4.String() != want {
		t.Fatalf("the endpoint is %s, not %s", b.here.Addr4, want)
	}
	b.apply(t, append(slices, svc)...)
	b.expectAll(t,
		try{b.pod(), tcp(netip.AddrFrom4([4]byte{10, 96, 0, 41}), 80), "here -"},
		try{b.external(), tcp(netip.AddrFrom4([4]byte{203, 0, 113, 42}), 80), "here m"},
		try{b.external(), tcp(netip.AddrFrom4([4]byte{203, 0, 113, 43}), 80), "here m"},
		try{b.pod(), tcp(netip.AddrFrom4([4]byte{203, 0, 113, 43}), 80), "timeout"})
}
