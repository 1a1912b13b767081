// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"

	"fairlead/internal/inet"
	"fairlead/proxier/objects"
)

// Slice returns the slim form of an EndpointSlice, or nil for one that
// is headless, of domain names, or of no Service.
func Slice(in *discoveryv1.EndpointSlice) (*objects.Slice, []objects.Problem) {
	if _, headless := in.Labels[corev1.IsHeadlessService]; headless {
		return nil, nil
	}
	key := types.NamespacedName{Namespace: in.Namespace, Name: in.Name}
	r := newChecker(objects.KindSlice, key.String(), in.UID)
	if !r.validKey(key, validation.IsDNS1123Subdomain) {
		return nil, r.Problems
	}
	switch in.AddressType {
	case discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6:
	case discoveryv1.AddressTypeFQDN:
		return nil, nil
	default:
		r.Add("addressType", "%q is not IPv4, IPv6 or FQDN", in.AddressType)
		return nil, r.Problems
	}
	service := in.Labels[discoveryv1.LabelServiceName]
	if service == "" {
		r.Add("metadata.labels", "label %s is missing, so it belongs to no Service", discoveryv1.LabelServiceName)
		return nil, r.Problems
	}
	out := &objects.Slice{
		Key:     key,
		UID:     in.UID,
		Service: types.NamespacedName{Namespace: in.Namespace, Name: service},
		IPv6:    in.AddressType == discoveryv1.AddressTypeIPv6,
		Ports:   r.slicePorts(in.Ports),
	}
	if len(in.Endpoints) > 0 {
		out.Endpoints = make([]objects.Endpoint, 0, len(in.Endpoints))
	}
	for i := range in.Endpoints {
		if ep, ok := r.endpoint(i, &in.Endpoints[i], out.IPv6); ok {
			out.Endpoints = append(out.Endpoints, ep)
		}
	}
	if t, err := time.Parse(time.RFC3339Nano, in.Annotations[corev1.EndpointsLastChangeTriggerTime]); err == nil {
		out.Changed = t
	}
	return out, r.Problems
}

// slicePorts returns the valid ports. A port is found by its name and protocol,
// so a second one of both is of no use.
func (r *checker) slicePorts(in []discoveryv1.EndpointPort) []objects.SlicePort {
	type id struct {
		name  string
		proto inet.Proto
	}
	var seen map[id]struct{} // of the ports before the last one
	var out []objects.SlicePort
	for i := range in {
		p, ok := r.slicePort(i, &in[i])
		if !ok {
			continue
		}
		if _, twice := seen[id{p.Name, p.Proto}]; twice {
			r.Add(at("ports", i)+".name", "%q for %s is there already", p.Name, p.Proto)
			continue
		}
		if i < len(in)-1 { // most slices have one port, and nothing to compare it with
			if seen == nil {
				seen = map[id]struct{}{}
			}
			seen[id{p.Name, p.Proto}] = struct{}{}
		}
		out = append(out, p)
	}
	return out
}

func (r *checker) slicePort(i int, in *discoveryv1.EndpointPort) (objects.SlicePort, bool) {
	var out objects.SlicePort
	field := at("ports", i)
	if in.Name != nil {
		out.Name = *in.Name
	}
	proto := ""
	if in.Protocol != nil {
		proto = string(*in.Protocol)
	}
	named := r.portName(field+".name", out.Name)
	var known, valid bool
	out.Proto, known = r.proto(field+".protocol", proto)
	if in.Port == nil {
		r.Add(field+".port", "is missing; a slice for all ports is not supported")
	} else {
		out.Port, valid = r.port(field+".port", *in.Port)
	}
	return out, named && known && valid
}

// endpoint reads the i-th endpoint. The API calls all its addresses fungible;
// the first one is used, as kube-proxy does.
func (r *checker) endpoint(i int, in *discoveryv1.Endpoint, v6 bool) (objects.Endpoint, bool) {
	if len(in.Addresses) == 0 {
		r.Add(at("endpoints", i)+".addresses", "is empty")
		return objects.Endpoint{}, false
	}
	ip, err := parseUserAddr(in.Addresses[0])
	if err != nil {
		r.Add(at("endpoints", i)+".addresses[0]", "%v", err)
		return objects.Endpoint{}, false
	}
	if ip.Is6() != v6 {
		r.Add(at("endpoints", i)+".addresses[0]", "%s is not of the slice's addressType %s", ip, addressType(v6))
		return objects.Endpoint{}, false
	}
	return readEndpoint(ip, in), true
}

func addressType(v6 bool) discoveryv1.AddressType {
	if v6 {
		return discoveryv1.AddressTypeIPv6
	}
	return discoveryv1.AddressTypeIPv4
}

func readEndpoint(ip netip.Addr, in *discoveryv1.Endpoint) objects.Endpoint {
	ep := objects.Endpoint{
		Addr:        ip,
		Ready:       isTrue(in.Conditions.Ready, true),
		Serving:     isTrue(in.Conditions.Serving, true),
		Terminating: isTrue(in.Conditions.Terminating, false),
	}
	if in.NodeName != nil {
		ep.Node = objects.NameOf(*in.NodeName)
	}
	if in.Zone != nil {
		ep.Zone = objects.NameOf(*in.Zone)
	}
	if in.Hints != nil {
		ep.ForZones = namesOf(in.Hints.ForZones, func(z discoveryv1.ForZone) string { return z.Name })
		ep.ForNodes = namesOf(in.Hints.ForNodes, func(n discoveryv1.ForNode) string { return n.Name })
	}
	return ep
}

func namesOf[T any](list []T, name func(T) string) objects.Names {
	switch len(list) {
	case 0:
		return objects.Names{}
	case 1:
		return objects.NamesOf(name(list[0]))
	}
	names := make([]string, len(list))
	for i := range list {
		names[i] = name(list[i])
	}
	return objects.NamesOf(names...)
}

func isTrue(b *bool, unset bool) bool {
	if b == nil {
		return unset
	}
	return *b
}
