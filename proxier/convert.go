// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	netutils "k8s.io/utils/net"

	"fairlead/internal/l4"
)

// Kinds of objects, as they are named in problems.
const (
	kindService     = "Service"
	kindSlice       = "EndpointSlice"
	kindNode        = "Node"
	kindServiceCIDR = "ServiceCIDR"
	kindFile        = "File"
)

// report collects what is wrong with one object.
type report struct {
	kind, name string
	problems   []Problem
}

func (r *report) add(field, format string, args ...any) {
	r.problems = append(r.problems, Problem{Kind: r.kind, Name: r.name, Field: field, Text: fmt.Sprintf(format, args...)})
}

// validName reports names that the API server would never have accepted. They
// come from files, and they end up in comments of nftables elements.
func (r *report) validName(key types.NamespacedName) bool {
	ok := true
	for field, value := range map[string]string{"metadata.namespace": key.Namespace, "metadata.name": key.Name} {
		if field == "metadata.namespace" && value == "" && r.kind != kindService && r.kind != kindSlice {
			continue
		}
		if errs := validation.IsDNS1123Subdomain(value); len(errs) > 0 {
			r.add(field, "%q is not a valid name: %s", value, errs[0])
			ok = false
		}
	}
	return ok
}

// parseAddr reads an address as Kubernetes always has: leading zeros are
// decimal (CVE-2021-29923).
func (r *report) parseAddr(field, s string) (netip.Addr, bool) {
	ip, ok := netip.AddrFromSlice(netutils.ParseIPSloppy(s))
	if !ok {
		r.add(field, "%q is not an IP address", s)
		return netip.Addr{}, false
	}
	return ip.Unmap(), true
}

// usableAddr reads an address that packets can be sent to.
func (r *report) usableAddr(field, s string) (netip.Addr, bool) {
	ip, ok := r.parseAddr(field, s)
	if !ok {
		return ip, false
	}
	if ip.IsUnspecified() || ip.IsLoopback() || ip.IsMulticast() || ip.IsLinkLocalUnicast() {
		r.add(field, "%s is an unspecified, loopback, link-local or multicast address", ip)
		return ip, false
	}
	return ip, true
}

func (r *report) prefix(field, s string) (netip.Prefix, bool) {
	_, n, err := netutils.ParseCIDRSloppy(strings.TrimSpace(s))
	if err != nil {
		r.add(field, "%q is not a CIDR", s)
		return netip.Prefix{}, false
	}
	ip, _ := netip.AddrFromSlice(n.IP)
	ones, bits := n.Mask.Size()
	if ip.Is4In6() && bits == 32 {
		ip = ip.Unmap()
	}
	return netip.PrefixFrom(ip, ones), true
}

func (r *report) prefixes(field string, list []string) []netip.Prefix {
	var out []netip.Prefix
	for i, s := range list {
		if p, ok := r.prefix(fmt.Sprintf("%s[%d]", field, i), s); ok {
			out = append(out, p)
		}
	}
	return out
}

func (r *report) port(field string, n int32) (uint16, bool) {
	if n < 1 || n > 65535 {
		r.add(field, "%d is not a port number from 1 to 65535", n)
		return 0, false
	}
	return uint16(n), true
}

func (r *report) proto(field, s string) (l4.Proto, bool) {
	if s == "" {
		return l4.TCP, true // the API's default
	}
	p, err := l4.ParseProto(s)
	if err != nil {
		r.add(field, "%v", err)
		return 0, false
	}
	return p, true
}

// portName may be empty, where there is only one port.
func (r *report) portName(field, s string) bool {
	if s == "" {
		return true
	}
	if errs := validation.IsDNS1123Label(s); len(errs) > 0 {
		r.add(field, "%q is not a valid name: %s", s, errs[0])
		return false
	}
	return true
}

// convertSlice returns the slim form of an EndpointSlice, or nil for one that
// has nothing to offer.
func convertSlice(in *discoveryv1.EndpointSlice) (*Slice, []Problem) {
	key := types.NamespacedName{Namespace: in.Namespace, Name: in.Name}
	r := &report{kind: kindSlice, name: key.String()}
	service := in.Labels[discoveryv1.LabelServiceName]
	if _, headless := in.Labels[corev1.IsHeadlessService]; headless {
		return nil, nil
	}
	if in.AddressType != discoveryv1.AddressTypeIPv4 && in.AddressType != discoveryv1.AddressTypeIPv6 {
		return nil, nil // FQDN: for others
	}
	if !r.validName(key) {
		return nil, r.problems
	}
	if service == "" {
		r.add("metadata.labels", "label %s is missing, so it belongs to no Service", discoveryv1.LabelServiceName)
		return nil, r.problems
	}
	out := &Slice{
		Key:     key,
		Service: types.NamespacedName{Namespace: in.Namespace, Name: service},
		IPv6:    in.AddressType == discoveryv1.AddressTypeIPv6,
	}
	if t, err := time.Parse(time.RFC3339Nano, in.Annotations[corev1.EndpointsLastChangeTriggerTime]); err == nil {
		out.Changed = t
	}
	for i := range in.Ports {
		if p, ok := r.slicePort(fmt.Sprintf("ports[%d]", i), &in.Ports[i]); ok {
			out.Ports = append(out.Ports, p)
		}
	}
	for i := range in.Endpoints {
		if ep, ok := r.endpoint(fmt.Sprintf("endpoints[%d]", i), &in.Endpoints[i], out.IPv6); ok {
			out.Endpoints = append(out.Endpoints, ep)
		}
	}
	return out, r.problems
}

func (r *report) slicePort(field string, in *discoveryv1.EndpointPort) (SlicePort, bool) {
	var out SlicePort
	if in.Name != nil {
		out.Name = *in.Name
	}
	if !r.portName(field+".name", out.Name) {
		return out, false
	}
	proto := ""
	if in.Protocol != nil {
		proto = string(*in.Protocol)
	}
	if in.Port == nil {
		r.add(field+".port", "is missing; a slice for all ports is not supported")
		return out, false
	}
	var ok, valid bool
	out.Proto, ok = r.proto(field+".protocol", proto)
	out.Port, valid = r.port(field+".port", *in.Port)
	return out, ok && valid
}

func (r *report) endpoint(field string, in *discoveryv1.Endpoint, v6 bool) (Endpoint, bool) {
	if len(in.Addresses) == 0 {
		r.add(field+".addresses", "is empty")
		return Endpoint{}, false
	}
	// The API defines all addresses of an endpoint as fungible; the first
	// one is used, as kube-proxy does.
	ip, ok := r.usableAddr(field+".addresses[0]", in.Addresses[0])
	if !ok {
		return Endpoint{}, false
	}
	if ip.Is6() != v6 {
		r.add(field+".addresses[0]", "%s is not of the slice's address type", ip)
		return Endpoint{}, false
	}
	c := in.Conditions
	ep := Endpoint{Addr: ip, Ready: isTrue(c.Ready, true), Terminating: isTrue(c.Terminating, false)}
	ep.Serving = isTrue(c.Serving, ep.Ready)
	if in.NodeName != nil {
		ep.Node = *in.NodeName
	}
	if in.Zone != nil {
		ep.Zone = *in.Zone
	}
	if in.Hints != nil {
		for _, z := range in.Hints.ForZones {
			ep.ForZones = append(ep.ForZones, z.Name)
		}
		for _, n := range in.Hints.ForNodes {
			ep.ForNodes = append(ep.ForNodes, n.Name)
		}
	}
	return ep, true
}

func isTrue(b *bool, unset bool) bool {
	if b == nil {
		return unset
	}
	return *b
}

// convertNode returns the slim form of a Node.
func convertNode(in *corev1.Node) (*Node, []Problem) {
	const autoscalerTaint = "ToBeDeletedByClusterAutoscaler"
	r := &report{kind: kindNode, name: in.Name}
	if !r.validName(types.NamespacedName{Name: in.Name}) {
		return nil, r.problems
	}
	out := &Node{
		Name: in.Name, Created: in.CreationTimestamp.Time,
		Zone: in.Labels[corev1.LabelTopologyZone], Leaving: in.DeletionTimestamp != nil,
	}
	for _, typ := range []corev1.NodeAddressType{corev1.NodeInternalIP, corev1.NodeExternalIP} {
		for i, a := range in.Status.Addresses {
			if a.Type != typ {
				continue
			}
			if ip, ok := r.parseAddr(fmt.Sprintf("status.addresses[%d].address", i), a.Address); ok {
				out.Addresses = append(out.Addresses, ip)
			}
		}
	}
	cidrs := in.Spec.PodCIDRs
	if len(cidrs) == 0 && in.Spec.PodCIDR != "" {
		cidrs = []string{in.Spec.PodCIDR}
	}
	out.PodCIDRs = r.prefixes("spec.podCIDRs", cidrs)
	for _, t := range in.Spec.Taints {
		out.Leaving = out.Leaving || t.Key == autoscalerTaint
	}
	return out, r.problems
}

// convertServiceCIDR returns the slim form of a ServiceCIDR.
func convertServiceCIDR(in *networkingv1.ServiceCIDR) (*ServiceCIDR, []Problem) {
	r := &report{kind: kindServiceCIDR, name: in.Name}
	if !r.validName(types.NamespacedName{Name: in.Name}) {
		return nil, r.problems
	}
	return &ServiceCIDR{Name: in.Name, CIDRs: r.prefixes("spec.cidrs", in.Spec.CIDRs)}, r.problems
}
