// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"fairlead/internal/flannel"
)

// The convert functions are pure. Each returns the slim form of an object and
// what is wrong with it: a bad field costs that field, or where the rest makes
// no sense without it the port, the endpoint or the object. The slim form is
// nil for an object that says nothing to this node.

// taintAutoscaler is on a node that the cluster autoscaler is about to delete.
const taintAutoscaler = "ToBeDeletedByClusterAutoscaler"

// convertNode returns the slim form of a Node.
func convertNode(in *corev1.Node) (*Node, []Problem) {
	r := newReport(kindNode, in.Name)
	if !r.valid("metadata.name", in.Name, validation.IsDNS1123Subdomain) {
		return nil, r.problems
	}
	out := &Node{
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
				r.add(at("status.addresses", i)+".address", "%v", err)
				continue
			}
			out.Addresses = appendNew(out.Addresses, ip)
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
	var err error
	if out.Flannel, err = flannel.ParseLease(in.Annotations); err != nil {
		r.add("metadata.annotations", "%v", err)
	}
	out.Leaving = out.Leaving || slices.ContainsFunc(in.Spec.Taints, func(t corev1.Taint) bool { return t.Key == taintAutoscaler })
	return out, r.problems
}

// convertServiceCIDR returns the slim form of a ServiceCIDR.
func convertServiceCIDR(in *networkingv1.ServiceCIDR) (*ServiceCIDR, []Problem) {
	r := newReport(kindServiceCIDR, in.Name)
	if !r.valid("metadata.name", in.Name, validation.IsDNS1123Subdomain) {
		return nil, r.problems
	}
	return &ServiceCIDR{Name: in.Name, CIDRs: r.prefixes("spec.cidrs", in.Spec.CIDRs)}, r.problems
}
