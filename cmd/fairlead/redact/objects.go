// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package redact

import (
	"crypto/sha256"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"fairlead/cmd/fairlead/view"
)

// editor is applied to each word of objects: first to learn words, then to replace them.
// Each function returns what stands for its argument.
type editor struct {
	name  func(string) string // of an object, host or zone
	label func(string) string // of a label, its value, or a port
	text  func(string) string // with addresses
	uid   func(types.UID) types.UID
}

// learner notes words and changes nothing.
func (w *words) learner() *editor {
	return &editor{
		name:  func(s string) string { w.learnName(s); w.learnText(s); return s },
		label: func(s string) string { w.learnLabel(s); w.learnText(s); return s },
		text:  func(s string) string { w.learnText(s); return s },
		uid:   func(s types.UID) types.UID { return s },
	}
}

func (w *words) replacer() *editor {
	return &editor{name: w.name, label: w.name, text: w.text, uid: w.uid}
}

// uid returns an identifier that nobody finds in the cluster.
func (w *words) uid(s types.UID) types.UID {
	if !w.Names || s == "" {
		return s
	}
	b := sha256.Sum256(append(w.Key[:], s...))
	return types.UID(fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:16]))
}

func (e *editor) objects(o *view.Objects) {
	for _, v := range o.Services {
		e.service(v)
	}
	for _, v := range o.Slices {
		e.slice(v)
	}
	for _, v := range o.Nodes {
		e.node(v)
	}
	for _, v := range o.ServiceCIDRs {
		e.serviceCIDR(v)
	}
	e.pods(o.Pods)
	for kind, why := range o.Missing {
		o.Missing[kind] = e.text(why)
	}
}

func (e *editor) pods(list []*corev1.Pod) {
	for _, v := range list {
		e.pod(v)
	}
}

func (e *editor) each(list []string, f func(string) string) []string {
	var out []string
	for _, s := range list {
		out = append(out, f(s))
	}
	return out
}

func (e *editor) pointer(s *string, f func(string) string) *string {
	if s == nil {
		return nil
	}
	out := f(*s)
	return &out
}

func (e *editor) meta(m *metav1.ObjectMeta) {
	m.Name, m.Namespace, m.UID = e.name(m.Name), e.name(m.Namespace), e.uid(m.UID)
	m.Labels = e.labels(m.Labels)
	for key, value := range m.Annotations {
		m.Annotations[key] = e.text(value)
	}
}

// labels keeps the keys of Kubernetes, and values that fairlead reads as words.
func (e *editor) labels(in map[string]string) map[string]string {
	if in == nil {
		return nil
	}
	out := map[string]string{}
	for key, value := range in {
		switch domain, _, _ := strings.Cut(key, "/"); {
		case key == discoveryv1.LabelServiceName, strings.HasPrefix(key, "topology.kubernetes.io/"), key == corev1.LabelHostname:
			out[key] = e.name(value)
		case domain == "kubernetes.io" || strings.HasSuffix(domain, ".kubernetes.io") || strings.HasSuffix(domain, ".k8s.io"):
			out[key] = e.label(value)
		default:
			out[e.label(key)] = e.label(value)
		}
	}
	return out
}

func (e *editor) service(v *corev1.Service) {
	e.meta(&v.ObjectMeta)
	s := &v.Spec
	s.ClusterIP, s.ClusterIPs, s.ExternalIPs = e.text(s.ClusterIP), e.each(s.ClusterIPs, e.text), e.each(s.ExternalIPs, e.text)
	s.LoadBalancerIP, s.LoadBalancerSourceRanges = e.text(s.LoadBalancerIP), e.each(s.LoadBalancerSourceRanges, e.text)
	s.LoadBalancerClass = e.pointer(s.LoadBalancerClass, e.label)
	s.Selector = e.labels(s.Selector)
	if s.ExternalName != "" {
		s.ExternalName = e.name(s.ExternalName)
	}
	for i := range s.Ports {
		p := &s.Ports[i]
		p.Name, p.AppProtocol = e.label(p.Name), e.pointer(p.AppProtocol, e.label)
		if p.TargetPort.Type == intstr.String {
			p.TargetPort.StrVal = e.label(p.TargetPort.StrVal)
		}
	}
	for i := range v.Status.LoadBalancer.Ingress {
		in := &v.Status.LoadBalancer.Ingress[i]
		in.IP, in.Hostname = e.text(in.IP), e.name(in.Hostname)
	}
}

func (e *editor) slice(v *discoveryv1.EndpointSlice) {
	e.meta(&v.ObjectMeta)
	address := e.text
	if v.AddressType == discoveryv1.AddressTypeFQDN {
		address = e.name
	}
	for i := range v.Ports {
		v.Ports[i].Name, v.Ports[i].AppProtocol = e.pointer(v.Ports[i].Name, e.label), e.pointer(v.Ports[i].AppProtocol, e.label)
	}
	for i := range v.Endpoints {
		p := &v.Endpoints[i]
		p.Addresses = e.each(p.Addresses, address)
		p.Hostname, p.NodeName, p.Zone = e.pointer(p.Hostname, e.name), e.pointer(p.NodeName, e.name), e.pointer(p.Zone, e.name)
		if p.TargetRef != nil {
			p.TargetRef.Namespace, p.TargetRef.Name = e.name(p.TargetRef.Namespace), e.name(p.TargetRef.Name)
		}
		if p.Hints != nil {
			for i := range p.Hints.ForZones {
				p.Hints.ForZones[i].Name = e.name(p.Hints.ForZones[i].Name)
			}
			for i := range p.Hints.ForNodes {
				p.Hints.ForNodes[i].Name = e.name(p.Hints.ForNodes[i].Name)
			}
		}
	}
}

func (e *editor) node(v *corev1.Node) {
	e.meta(&v.ObjectMeta)
	v.Spec.PodCIDR, v.Spec.PodCIDRs = e.text(v.Spec.PodCIDR), e.each(v.Spec.PodCIDRs, e.text)
	var list []corev1.NodeAddress
	for _, a := range v.Status.Addresses {
		f := e.name
		if a.Type == corev1.NodeInternalIP || a.Type == corev1.NodeExternalIP {
			f = e.text
		}
		list = append(list, corev1.NodeAddress{Type: a.Type, Address: f(a.Address)})
	}
	v.Status.Addresses = list
}

func (e *editor) serviceCIDR(v *networkingv1.ServiceCIDR) {
	e.meta(&v.ObjectMeta)
	v.Spec.CIDRs = e.each(v.Spec.CIDRs, e.text)
}

func (e *editor) pod(v *corev1.Pod) {
	e.meta(&v.ObjectMeta)
	v.Spec.NodeName = e.name(v.Spec.NodeName)
	e.containers(v.Spec.Containers)
	e.containers(v.Spec.InitContainers)
	s := &v.Status
	s.HostIP, s.PodIP = e.text(s.HostIP), e.text(s.PodIP)
	s.HostIPs, s.PodIPs = append([]corev1.HostIP(nil), s.HostIPs...), append([]corev1.PodIP(nil), s.PodIPs...)
	for i := range s.HostIPs {
		s.HostIPs[i].IP = e.text(s.HostIPs[i].IP)
	}
	for i := range s.PodIPs {
		s.PodIPs[i].IP = e.text(s.PodIPs[i].IP)
	}
	for i := range s.ContainerStatuses {
		s.ContainerStatuses[i].Name = e.label(s.ContainerStatuses[i].Name)
	}
}

func (e *editor) containers(list []corev1.Container) {
	for i := range list {
		c := &list[i]
		c.Name = e.label(c.Name)
		c.Ports = append([]corev1.ContainerPort(nil), c.Ports...)
		for i := range c.Ports {
			c.Ports[i].Name, c.Ports[i].HostIP = e.label(c.Ports[i].Name), e.text(c.Ports[i].HostIP)
		}
	}
}
