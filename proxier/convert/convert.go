// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"fairlead/proxier/objects"
)

// convertServiceCIDR returns the slim form of a ServiceCIDR.
func convertServiceCIDR(in *networkingv1.ServiceCIDR) (*objects.ServiceCIDR, []objects.Problem) {
	r := newChecker(objects.KindServiceCIDR, in.Name, "")
	if !r.valid("metadata.name", in.Name, validation.IsDNS1123Subdomain) {
		return nil, r.Problems
	}
	return &objects.ServiceCIDR{Name: in.Name, CIDRs: r.prefixes("spec.cidrs", in.Spec.CIDRs)}, r.Problems
}

// Convert reads an object of any kind that the API server is asked for.
func Convert(obj any) (objects.Object, error) {
	var it objects.Object
	switch in := obj.(type) {
	case *corev1.Service:
		it.Service, it.Problems = convertService(in)
		it.Key = objects.Key{Kind: objects.KindService, Name: objects.Namespaced(&in.ObjectMeta)}
	case *discoveryv1.EndpointSlice:
		it.Slice, it.Problems = Slice(in)
		it.Key = objects.Key{Kind: objects.KindSlice, Name: objects.Namespaced(&in.ObjectMeta)}
	case *corev1.Node:
		it.Node, it.Problems = convertNode(in)
		it.Key = objects.Key{Kind: objects.KindNode, Name: in.Name}
	case *networkingv1.ServiceCIDR:
		it.CIDR, it.Problems = convertServiceCIDR(in)
		it.Key = objects.Key{Kind: objects.KindServiceCIDR, Name: in.Name}
	case *corev1.Pod:
		it.Pod, it.Problems = Pod(in)
		it.Key = objects.Key{Kind: objects.KindPod, Name: objects.Namespaced(&in.ObjectMeta)}
	default:
		return it, fmt.Errorf("convert %T: not a kind that was asked for", obj)
	}
	return it, nil
}
