// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"k8s.io/apimachinery/pkg/util/validation"

	"fairlead/internal/flannel"
	"fairlead/proxier/objects"
)

// taintAutoscaler is on a node that the cluster autoscaler is about to delete.
const taintAutoscaler = "ToBeDeletedByClusterAutoscaler"

// convertNode returns the slim form of a Node.
func convertNode(in *corev1.Node) (*objects.Node, []objects.Problem) {
	r := newChecker(objects.KindNode, in.Name, "")
	if !r.valid("metadata.name", in.Name, validation.IsDNS1123Subdomain) {
		return nil, r.Problems
	}
	out := &objects.Node{
		Name: in.Name, Created: in.CreationTimestamp.Time,
		Zone:    in.Labels[corev1.LabelTopologyZone],
		Leaving: in.DeletionTimestamp != nil,
	}
	for _, typ := range []corev1.NodeAddressType{corev1.NodeInternalIP, corev1.NodeExternalIP} {
		for i, a := range in.Status.Addresses {
			if a.Type != typ {
				continue
			}
			ip, err := parseAddr(a.Address)
			if err != nil {
				r.Add(at("status.addresses", i)+".address", "%v", err)
				continue
			}
			out.Addresses = objects.AppendNew(out.Addresses, ip)
		}
		if out.Underlay == nil {
			out.Underlay = slices.Clone(out.Addresses)
		}
	}
	if len(in.Spec.PodCIDRs) > 0 {
		out.PodCIDRs = r.prefixes("spec.podCIDRs", in.Spec.PodCIDRs)
	} else if in.Spec.PodCIDR != "" {
		out.PodCIDRs = r.prefixes("spec.podCIDR", []string{in.Spec.PodCIDR})
	}
	underlay := in.Annotations[objects.AnnotationUnderlay]
	out.Underlay = r.underlay(underlay, out.Underlay)
	out.UnderlayWritten = underlay != "" && underlay == in.Annotations[objects.AnnotationUnderlayWritten]
	var err error
	if out.Flannel, err = flannel.ParseLease(in.Annotations); err != nil {
		r.Add("metadata.annotations", "%v", err)
	}
	out.Leaving = out.Leaving || slices.ContainsFunc(in.Spec.Taints, func(t corev1.Taint) bool { return t.Key == taintAutoscaler })
	return out, r.Problems
}

// maxUnderlay bounds the addresses of objects.AnnotationUnderlay.
const maxUnderlay = 8

// underlay returns the addresses of an annotation and then those of the status.
func (r *checker) underlay(text string, status []netip.Addr) []netip.Addr {
	if text == "" {
		return status
	}
	var out []netip.Addr
	words := strings.Split(text, ",")
	if len(words) > maxUnderlay {
		r.Add("metadata.annotations", "%s has %d addresses, of which the first %d count", objects.AnnotationUnderlay, len(words), maxUnderlay)
		words = words[:maxUnderlay]
	}
	for _, w := range words {
		ip, err := parseAddr(strings.TrimSpace(w))
		if err != nil {
			r.Add("metadata.annotations", "%s: %v", objects.AnnotationUnderlay, err)
			continue
		}
		out = objects.AppendNew(out, ip)
	}
	for _, ip := range status {
		out = objects.AppendNew(out, ip)
	}
	return out
}
