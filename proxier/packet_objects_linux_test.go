// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"fmt"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"fairlead/internal/inet"
	"fairlead/internal/lab"
)

// Addresses of the n-th Service, IPv4 and IPv6. Its node port is 30000+n.
func clusterIP(n int) [2]netip.Addr  { return both("10.96.0.%d", "fd00:10:96::%d", n) }
func vip(n int) [2]netip.Addr        { return both("203.0.113.%d", "2001:db8:113::%d", n) }
func externalIP(n int) [2]netip.Addr { return both("203.0.113.1%02d", "2001:db8:113::1%02d", n) }

func both(v4, v6 string, n int) [2]netip.Addr {
	return [2]netip.Addr{netip.MustParseAddr(fmt.Sprintf(v4, n)), netip.MustParseAddr(fmt.Sprintf(v6, n))}
}

func nodePort(n int) uint16 { return uint16(30000 + n) }

// serviceObject returns a dual-stack Service "svcN" of type LoadBalancer with
// every kind of address, on TCP port 80.
func serviceObject(n int, edit ...func(*corev1.Service)) *corev1.Service {
	svc := &corev1.Service{}
	svc.Namespace, svc.Name = "default", fmt.Sprintf("svc%d", n)
	svc.Spec.Type = corev1.ServiceTypeLoadBalancer
	svc.Spec.Ports = []corev1.ServicePort{{Port: 80, Protocol: corev1.ProtocolTCP, NodePort: int32(nodePort(n))}}
	for i := range 2 {
		svc.Spec.ClusterIPs = append(svc.Spec.ClusterIPs, clusterIP(n)[i].String())
		svc.Spec.ExternalIPs = append(svc.Spec.ExternalIPs, externalIP(n)[i].String())
		svc.Status.LoadBalancer.Ingress = append(svc.Status.LoadBalancer.Ingress, corev1.LoadBalancerIngress{IP: vip(n)[i].String()})
	}
	for _, f := range edit {
		f(svc)
	}
	return svc
}

// Edits of a Service.

func externalLocal(svc *corev1.Service) {
	svc.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal
}

func internalLocal(svc *corev1.Service) {
	local := corev1.ServiceInternalTrafficPolicyLocal
	svc.Spec.InternalTrafficPolicy = &local
}

// portsOf replaces the ports, which are named like their protocol and number.
func portsOf(ports ...corev1.ServicePort) func(*corev1.Service) {
	return func(svc *corev1.Service) { svc.Spec.Ports = ports }
}

func servicePort(proto corev1.Protocol, port int32) corev1.ServicePort {
	return corev1.ServicePort{Name: portName(proto, port), Protocol: proto, Port: port}
}

func portName(proto corev1.Protocol, port int32) string {
	return fmt.Sprintf("%.1s%d", lower(proto), port)
}

func lower(proto corev1.Protocol) string {
	p, err := inet.ParseProto(string(proto))
	if err != nil {
		return err.Error()
	}
	return p.String()
}

// member is an endpoint of a Service: a pod and what the API says about it.
type member struct {
	pod  *lab.Pod
	with func(*discoveryv1.Endpoint)
}

func ready(p *lab.Pod) member { return condition(p, true, true, false) }

// draining is an endpoint that still serves while it terminates.
func draining(p *lab.Pod) member { return condition(p, false, true, true) }

// failing is an endpoint that terminates and does not serve any more.
func failing(p *lab.Pod) member { return condition(p, false, false, true) }

// starting is an endpoint that is not ready yet.
func starting(p *lab.Pod) member { return condition(p, false, false, false) }

func condition(p *lab.Pod, ready, serving, terminating bool) member {
	return member{p, func(ep *discoveryv1.Endpoint) {
		ep.Conditions = discoveryv1.EndpointConditions{Ready: &ready, Serving: &serving, Terminating: &terminating}
	}}
}

// sliceObjects returns the slices of Service "svcN", one per family, with one
// port that has no name: the target of port 80.
func sliceObjects(n int, members ...member) []any {
	return slicesWith(n, []discoveryv1.EndpointPort{slicePort("", corev1.ProtocolTCP, targetPort)}, members...)
}

func slicePort(name string, proto corev1.Protocol, port int32) discoveryv1.EndpointPort {
	return discoveryv1.EndpointPort{Name: &name, Protocol: &proto, Port: &port}
}

func slicesWith(n int, ports []discoveryv1.EndpointPort, members ...member) []any {
	var out []any
	for family, typ := range []discoveryv1.AddressType{discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6} {
		s := &discoveryv1.EndpointSlice{AddressType: typ, Ports: ports}
		s.Namespace, s.Name = "default", fmt.Sprintf("svc%d-%d", n, family)
		s.Labels = map[string]string{discoveryv1.LabelServiceName: fmt.Sprintf("svc%d", n)}
		for _, m := range members {
			ep := discoveryv1.Endpoint{Addresses: []string{m.pod.Addrs()[family].String()}, NodeName: &m.pod.Node.Name}
			if m.with != nil {
				m.with(&ep)
			}
			s.Endpoints = append(s.Endpoints, ep)
		}
		out = append(out, s)
	}
	return out
}
