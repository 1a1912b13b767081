// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"

	"fairlead/internal/inet"
	"fairlead/proxier/objects"
)

// LabelServiceProxyName hands a Service to another proxy, whatever the value.
const LabelServiceProxyName = "service.kubernetes.io/service-proxy-name"

// convertService returns the slim form of a Service, or nil for one that is not
// for a node to serve: headless, ExternalName, another proxy's, or without an
// address so far.
func convertService(in *corev1.Service) (*objects.Service, []objects.Problem) {
	if _, other := in.Labels[LabelServiceProxyName]; other {
		return nil, nil
	}
	ips, field := clusterIPs(in)
	if in.Spec.Type == corev1.ServiceTypeExternalName || len(ips) == 0 || ips[0] == corev1.ClusterIPNone {
		return nil, nil
	}
	key := types.NamespacedName{Namespace: in.Namespace, Name: in.Name}
	r := newChecker(objects.KindService, key.String(), in.UID)
	// RelaxedServiceNameValidation (KEP-5311) lets names begin with a digit.
	if !r.validKey(key, validation.IsDNS1123Label) {
		return nil, r.Problems
	}
	out := &objects.Service{Key: key, UID: in.UID, Created: in.CreationTimestamp.Time}
	if out.ClusterIPs = r.onePerFamily(field, ips); len(out.ClusterIPs) == 0 {
		return nil, r.Problems
	}
	out.ExternalIPs = bounded(r, "spec.externalIPs", r.addrs("spec.externalIPs", in.Spec.ExternalIPs, parseVIP), objects.MaxServiceAddrs)
	out.LoadBalancerIPs = bounded(r, "status.loadBalancer.ingress", r.ingress(in), objects.MaxServiceAddrs)
	out.Ports = bounded(r, "spec.ports", r.servicePorts(in.Spec.Ports), objects.MaxServicePorts)
	out.SourceRanges = bounded(r, "spec.loadBalancerSourceRanges",
		r.prefixes("spec.loadBalancerSourceRanges", in.Spec.LoadBalancerSourceRanges), objects.MaxSourceRanges)
	out.Restricted = len(in.Spec.LoadBalancerSourceRanges) > 0
	out.ExternalLocal = r.isLocal("spec.externalTrafficPolicy", string(in.Spec.ExternalTrafficPolicy))
	if p := in.Spec.InternalTrafficPolicy; p != nil {
		out.InternalLocal = r.isLocal("spec.internalTrafficPolicy", string(*p))
	}
	out.Affinity = r.affinity(in)
	if in.Spec.Type == corev1.ServiceTypeLoadBalancer && out.ExternalLocal && in.Spec.HealthCheckNodePort != 0 {
		out.HealthCheckNodePort, _ = r.port("spec.healthCheckNodePort", in.Spec.HealthCheckNodePort)
	}
	return out, r.Problems
}

// clusterIPs returns the addresses and the field that has them. Manifests
// written by hand often have the older field only.
func clusterIPs(in *corev1.Service) (list []string, field string) {
	if len(in.Spec.ClusterIPs) > 0 {
		return in.Spec.ClusterIPs, "spec.clusterIPs"
	}
	if in.Spec.ClusterIP != "" {
		return []string{in.Spec.ClusterIP}, "spec.clusterIP"
	}
	return nil, ""
}

func (r *checker) onePerFamily(field string, list []string) []netip.Addr {
	var out []netip.Addr
	for i, s := range list {
		where := field
		if field == "spec.clusterIPs" {
			where = at(field, i)
		}
		ip, err := parseAddr(s)
		switch {
		case err != nil:
			r.Add(where, "%v", err)
		case slices.ContainsFunc(out, func(o netip.Addr) bool { return o.Is4() == ip.Is4() }):
			r.Add(where, "%s is a second address of its family", ip)
		default:
			out = append(out, ip)
		}
	}
	return out
}

// ingress returns the load balancer's addresses that a node serves itself: not
// those of a load balancer that is a proxy (KEP-1860).
func (r *checker) ingress(in *corev1.Service) []netip.Addr {
	list := in.Status.LoadBalancer.Ingress
	served := make([]int, 0, len(list)) // indices
	for i := range list {
		if list[i].IP != "" && (list[i].IPMode == nil || *list[i].IPMode != corev1.LoadBalancerIPModeProxy) {
			served = append(served, i)
		}
	}
	return parsed(r, served, func(i int) (netip.Addr, error) { return parseVIP(list[i].IP) },
		func(i int) string { return at("status.loadBalancer.ingress", served[i]) + ".ip" })
}

// servicePorts returns the valid ports, each number and protocol once.
func (r *checker) servicePorts(in []corev1.ServicePort) []objects.ServicePort {
	type number struct {
		port  uint16
		proto inet.Proto
	}
	ports, nodePorts := map[number]struct{}{}, map[number]struct{}{}
	var out []objects.ServicePort
	for i := range in {
		field := at("spec.ports", i)
		p, ok := r.servicePort(field, &in[i])
		if !ok {
			continue
		}
		if _, twice := ports[number{p.Port, p.Proto}]; twice {
			r.Add(field+".port", "%d/%s is there already", p.Port, p.Proto)
			continue
		}
		ports[number{p.Port, p.Proto}] = struct{}{}
		if _, twice := nodePorts[number{p.NodePort, p.Proto}]; twice {
			r.Add(field+".nodePort", "%d/%s is there already", p.NodePort, p.Proto)
			p.NodePort = 0
		} else if p.NodePort != 0 {
			nodePorts[number{p.NodePort, p.Proto}] = struct{}{}
		}
		out = append(out, p)
	}
	return out
}

func (r *checker) servicePort(field string, in *corev1.ServicePort) (objects.ServicePort, bool) {
	out := objects.ServicePort{Name: in.Name}
	named := r.portName(field+".name", in.Name)
	var known, valid bool
	out.Proto, known = r.proto(field+".protocol", string(in.Protocol))
	out.Port, valid = r.port(field+".port", in.Port)
	if in.NodePort != 0 {
		out.NodePort, _ = r.port(field+".nodePort", in.NodePort) // the VIP works without
	}
	return out, named && known && valid
}

// isLocal reads a traffic policy; both kinds have the same two values.
func (r *checker) isLocal(field, policy string) bool {
	switch corev1.ServiceExternalTrafficPolicy(policy) {
	case "", corev1.ServiceExternalTrafficPolicyCluster:
		return false
	case corev1.ServiceExternalTrafficPolicyLocal:
		return true
	}
	r.Add(field, "%q is not Cluster or Local; Cluster is used", policy)
	return false
}

// affinity returns how long a client keeps its endpoint.
func (r *checker) affinity(in *corev1.Service) time.Duration {
	const (
		field    = "spec.sessionAffinityConfig.clientIP.timeoutSeconds"
		standard = time.Duration(corev1.DefaultClientIPServiceAffinitySeconds) * time.Second
		longest  = 86400 // what the API server accepts: a day
	)
	switch in.Spec.SessionAffinity {
	case "", corev1.ServiceAffinityNone:
		return 0
	case corev1.ServiceAffinityClientIP:
	default:
		r.Add("spec.sessionAffinity", "%q is not None or ClientIP; None is used", in.Spec.SessionAffinity)
		return 0
	}
	cfg := in.Spec.SessionAffinityConfig
	if cfg == nil || cfg.ClientIP == nil || cfg.ClientIP.TimeoutSeconds == nil {
		return standard
	}
	n := *cfg.ClientIP.TimeoutSeconds
	if n < 1 || n > longest {
		r.Add(field, "%d is not from 1 to %d; %d is used", n, longest, corev1.DefaultClientIPServiceAffinitySeconds)
		return standard
	}
	return time.Duration(n) * time.Second
}
