// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/validation"
)

// The convert functions are pure. Each returns the slim form of an object and
// what is wrong with it: a bad field costs that field, or where the rest makes
// no sense without it the port, the endpoint or the object. The slim form is
// nil for an object that says nothing to this node.

// convertServiceCIDR returns the slim form of a ServiceCIDR.
func convertServiceCIDR(in *networkingv1.ServiceCIDR) (*ServiceCIDR, []Problem) {
	r := newChecker(kindServiceCIDR, in.Name, "")
	if !r.valid("metadata.name", in.Name, validation.IsDNS1123Subdomain) {
		return nil, r.Problems
	}
	return &ServiceCIDR{Name: in.Name, CIDRs: r.prefixes("spec.cidrs", in.Spec.CIDRs)}, r.Problems
}

// convert reads an object of any kind that the API server is asked for.
func convert(obj any) (item, error) {
	var it item
	switch in := obj.(type) {
	case *corev1.Service:
		it.service, it.problems = convertService(in)
		it.key = objectKey{kindService, namespaced(&in.ObjectMeta)}
	case *discoveryv1.EndpointSlice:
		it.slice, it.problems = convertSlice(in)
		it.key = objectKey{kindSlice, namespaced(&in.ObjectMeta)}
	case *corev1.Node:
		it.node, it.problems = convertNode(in)
		it.key = objectKey{kindNode, in.Name}
	case *networkingv1.ServiceCIDR:
		it.CIDR, it.problems = convertServiceCIDR(in)
		it.key = objectKey{kindServiceCIDR, in.Name}
	case *corev1.Pod:
		it.pod, it.problems = convertPod(in)
		it.key = objectKey{kindPod, namespaced(&in.ObjectMeta)}
	default:
		return it, fmt.Errorf("convert %T: not a kind that was asked for", obj)
	}
	return it, nil
}
