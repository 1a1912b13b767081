// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// labelServiceProxyName hands a Service to another proxy, whatever the value.
const labelServiceProxyName = "service.kubernetes.io/service-proxy-name"

// convertService returns the slim form of a Service, or nil for one that is not
// for a node to serve: headless, ExternalName, or another proxy's.
func convertService(in *corev1.Service) (*Service, []Problem) {
	key := types.NamespacedName{Namespace: in.Namespace, Name: in.Name}
	r := &report{kind: kindService, name: key.String()}
	if _, other := in.Labels[labelServiceProxyName]; other {
		return nil, nil
	}
	if in.Spec.Type == corev1.ServiceTypeExternalName || in.Spec.ClusterIP == corev1.ClusterIPNone {
		return nil, nil
	}
	if !r.validName(key) {
		return nil, r.problems
	}
	out := &Service{
		Key:           key,
		Created:       in.CreationTimestamp.Time,
		ClusterIPs:    r.clusterIPs(in),
		ExternalIPs:   r.addrs("spec.externalIPs", in.Spec.ExternalIPs),
		ExternalLocal: in.Spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal,
		InternalLocal: in.Spec.InternalTrafficPolicy != nil && *in.Spec.InternalTrafficPolicy == corev1.ServiceInternalTrafficPolicyLocal,
		Ports:         r.servicePorts(in),
		Affinity:      r.affinity(in),
	}
	if len(out.ClusterIPs) == 0 {
		return nil, r.problems // not allocated yet, or invalid
	}
	out.LoadBalancerIPs = r.ingress(in)
	out.SourceRanges = r.prefixes("spec.loadBalancerSourceRanges", in.Spec.LoadBalancerSourceRanges)
	out.Restricted = len(in.Spec.LoadBalancerSourceRanges) > 0
	if in.Spec.Type == corev1.ServiceTypeLoadBalancer && out.ExternalLocal && in.Spec.HealthCheckNodePort != 0 {
		out.HealthCheckNodePort, _ = r.port("spec.healthCheckNodePort", in.Spec.HealthCheckNodePort)
	}
	return out, r.problems
}

// clusterIPs returns at most one address of each family.
func (r *report) clusterIPs(in *corev1.Service) []netip.Addr {
	list, field := in.Spec.ClusterIPs, "spec.clusterIPs"
	if len(list) == 0 {
		if in.Spec.ClusterIP == "" {
			return nil
		}
		list, field = []string{in.Spec.ClusterIP}, "spec.clusterIP"
	}
	var out []netip.Addr
	for i, s := range list {
		at := field
		if len(in.Spec.ClusterIPs) > 0 {
			at = fmt.Sprintf("%s[%d]", field, i)
		}
		ip, ok := r.usableAddr(at, s)
		if !ok {
			continue
		}
		if slices.ContainsFunc(out, func(o netip.Addr) bool { return o.Is4() == ip.Is4() }) {
			r.add(at, "%s is a second address of its family", ip)
			continue
		}
		out = append(out, ip)
	}
	return out
}

func (r *report) addrs(field string, list []string) []netip.Addr {
	var out []netip.Addr
	for i, s := range list {
		if ip, ok := r.usableAddr(fmt.Sprintf("%s[%d]", field, i), s); ok && !slices.Contains(out, ip) {
			out = append(out, ip)
		}
	}
	return out
}

// ingress returns the load balancer's addresses that a node serves itself: not
// those of a load balancer that is a proxy (KEP-1860).
func (r *report) ingress(in *corev1.Service) []netip.Addr {
	var out []netip.Addr
	for i, lb := range in.Status.LoadBalancer.Ingress {
		if lb.IP == "" || lb.IPMode != nil && *lb.IPMode == corev1.LoadBalancerIPModeProxy {
			continue
		}
		if ip, ok := r.usableAddr(fmt.Sprintf("status.loadBalancer.ingress[%d].ip", i), lb.IP); ok && !slices.Contains(out, ip) {
			out = append(out, ip)
		}
	}
	return out
}

func (r *report) servicePorts(in *corev1.Service) []ServicePort {
	var out []ServicePort
	for i := range in.Spec.Ports {
		field := fmt.Sprintf("spec.ports[%d]", i)
		p, ok := r.servicePort(field, &in.Spec.Ports[i])
		if !ok {
			continue
		}
		if slices.ContainsFunc(out, func(o ServicePort) bool { return o.Port == p.Port && o.Proto == p.Proto }) {
			r.add(field+".port", "%d/%s is there already", p.Port, p.Proto)
			continue
		}
		out = append(out, p)
	}
	return out
}

func (r *report) servicePort(field string, in *corev1.ServicePort) (ServicePort, bool) {
	out := ServicePort{Name: in.Name}
	if !r.portName(field+".name", in.Name) {
		return out, false
	}
	var ok, valid bool
	out.Proto, ok = r.proto(field+".protocol", string(in.Protocol))
	out.Port, valid = r.port(field+".port", in.Port)
	if in.NodePort != 0 {
		out.NodePort, _ = r.port(field+".nodePort", in.NodePort) // the VIP works without
	}
	return out, ok && valid
}

// affinity returns how long a client keeps its endpoint.
func (r *report) affinity(in *corev1.Service) time.Duration {
	const field = "spec.sessionAffinityConfig.clientIP.timeoutSeconds"
	if in.Spec.SessionAffinity != corev1.ServiceAffinityClientIP {
		return 0
	}
	standard := time.Duration(corev1.DefaultClientIPServiceAffinitySeconds) * time.Second
	cfg := in.Spec.SessionAffinityConfig
	if cfg == nil || cfg.ClientIP == nil || cfg.ClientIP.TimeoutSeconds == nil {
		return standard
	}
	n := *cfg.ClientIP.TimeoutSeconds
	if n < 1 || n > 86400 {
		r.add(field, "%d is not from 1 to 86400; %d is used", n, corev1.DefaultClientIPServiceAffinitySeconds)
		return standard
	}
	return time.Duration(n) * time.Second
}
