// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"

	"fairlead/proxier/objects"
)

// Pod returns the slim form of a Pod, nil for one without ports of its
// node: most have none, one on the host's network has its own, and one that has
// ended answers none.
func Pod(in *corev1.Pod) (*objects.Pod, []objects.Problem) {
	if in.Spec.HostNetwork || in.Status.Phase == corev1.PodSucceeded || in.Status.Phase == corev1.PodFailed {
		return nil, nil
	}
	key := types.NamespacedName{Namespace: in.Namespace, Name: in.Name}
	r := newChecker(objects.KindPod, key.String(), in.UID)
	if !r.validKey(key, validation.IsDNS1123Subdomain) {
		return nil, r.Problems
	}
	out := &objects.Pod{Key: key, UID: in.UID, Created: in.CreationTimestamp.Time, Node: in.Spec.NodeName}
	for i := range in.Spec.Containers {
		out.Ports = append(out.Ports, r.hostPorts(at("spec.containers", i), in.Spec.Containers[i].Ports)...)
	}
	for i := range in.Spec.InitContainers {
		c := &in.Spec.InitContainers[i]
		// Only those that go on beside the containers (KEP-753).
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			out.Ports = append(out.Ports, r.hostPorts(at("spec.initContainers", i), c.Ports)...)
		}
	}
	out.Ports = bounded(r, "spec.containers", out.Ports, objects.MaxHostPorts)
	if len(out.Ports) == 0 {
		return nil, r.Problems
	}
	out.IPs = r.podIPs(&in.Status)
	if len(out.IPs) == 0 {
		return nil, r.Problems // not yet started
	}
	return out, r.Problems
}

func (r *checker) podIPs(s *corev1.PodStatus) []netip.Addr {
	var list []string
	for _, ip := range s.PodIPs {
		list = append(list, ip.IP)
	}
	if len(list) == 0 && s.PodIP != "" {
		list = []string{s.PodIP}
	}
	return r.addrs("status.podIPs", list, parseAddr)
}

func (r *checker) hostPorts(container string, ports []corev1.ContainerPort) []objects.PodPort {
	var out []objects.PodPort
	for i, p := range ports {
		if p.HostPort == 0 {
			continue
		}
		field := at(container+".ports", i)
		host, ok1 := r.port(field+".hostPort", p.HostPort)
		port, ok2 := r.port(field+".containerPort", p.ContainerPort)
		proto, ok3 := r.proto(field+".protocol", string(p.Protocol))
		ip, ok4 := r.hostIP(field+".hostIP", p.HostIP)
		if ok1 && ok2 && ok3 && ok4 {
			out = append(out, objects.PodPort{Field: field + ".hostPort", Proto: proto, HostIP: ip, HostPort: host, Port: port})
		}
	}
	return out
}

// hostIP returns an invalid address for all addresses of the node.
func (r *checker) hostIP(field, s string) (netip.Addr, bool) {
	if slices.Contains([]string{"", "0.0.0.0", "::"}, s) {
		return netip.Addr{}, true
	}
	if ip, err := netip.ParseAddr(s); err == nil && ip.Unmap().IsLoopback() {
		return ip.Unmap(), true // whether it is served depends on the configuration
	}
	ip, err := parseAddr(s)
	if err != nil {
		r.Add(field, "%v; the port is not served", err)
	}
	return ip, err == nil
}
