// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"context"
	"fmt"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"fairlead/cmd/fairlead/podready"
)

// readPods reads the Pods of a namespace. Without them fewer causes are found.
func (p *Picture) readPods(ctx context.Context, namespace string) {
	list, err := p.node.Pods(ctx, namespace)
	if err != nil {
		p.missing("Pods", err)
		return
	}
	p.pods, p.hasPods = list, true
}

// withoutEndpoints says why no slice of a Service has an endpoint.
func (p *Picture) withoutEndpoints(svc *corev1.Service) []Finding {
	key := types.NamespacedName{Namespace: svc.Namespace, Name: svc.Name}
	empty := len(p.Objects.SlicesOf(key)) > 0
	switch {
	case len(svc.Spec.Selector) == 0 && empty:
		return []Finding{{"no-endpoints", "The EndpointSlices of the Service have no endpoint, and the Service has no selector that would fill them.", "Add endpoints to the EndpointSlices, or set spec.selector."}}
	case len(svc.Spec.Selector) == 0:
		return []Finding{{"no-slices", "The Service has no selector and no EndpointSlice.", "Set spec.selector, or write an EndpointSlice with the label kubernetes.io/service-name=" + svc.Name + "."}}
	case !p.hasPods:
		return []Finding{{"no-endpoints", "The Service has no endpoint.", fmt.Sprintf("See which pods its selector matches: kubectl -n %s get pods -l %s", svc.Namespace, labels.Set(svc.Spec.Selector))}}
	}
	selector := labels.SelectorFromSet(svc.Spec.Selector)
	var matching, unready []string
	for _, pod := range p.pods {
		if pod.Namespace != svc.Namespace || !selector.Matches(labels.Set(pod.Labels)) {
			continue
		}
		matching = append(matching, pod.Name)
		if !podready.Is(pod) {
			unready = append(unready, pod.Name+" ("+stateOf(pod)+")")
		}
	}
	switch {
	case len(matching) == 0:
		return []Finding{{"no-pods", fmt.Sprintf("The selector %s matches no Pod of namespace %s.", selector, svc.Namespace),
			"Compare spec.selector with the labels of the pods: " + fmt.Sprintf("kubectl -n %s get pods --show-labels", svc.Namespace)}}
	case len(unready) == len(matching):
		return []Finding{{"pods-not-ready", fmt.Sprintf("The selector matches %d pods, none of which is ready: %s.", len(matching), named(unready)),
			fmt.Sprintf("Find out why: kubectl -n %s describe pods -l %s", svc.Namespace, labels.Set(svc.Spec.Selector))}}
	}
	return []Finding{{"no-slices", fmt.Sprintf("The selector matches %d pods (%s), and no EndpointSlice has them.", len(matching), named(matching)),
		"The EndpointSlice controller of kube-controller-manager writes the slices: check that it runs, and read its log."}}
}

func stateOf(pod *corev1.Pod) string {
	for _, c := range pod.Status.ContainerStatuses {
		switch {
		case c.State.Waiting != nil && c.State.Waiting.Reason != "":
			return c.State.Waiting.Reason
		case c.State.Terminated != nil && c.State.Terminated.Reason != "":
			return c.State.Terminated.Reason
		}
	}
	if pod.Status.Phase == "" {
		return "no state yet"
	}
	return string(pod.Status.Phase)
}

// podNamed returns the addresses and the node of a Pod.
func (p *Picture) podNamed(key types.NamespacedName) (ips []netip.Addr, node string, ok bool) {
	for _, pod := range p.pods {
		if pod.Namespace != key.Namespace || pod.Name != key.Name {
			continue
		}
		for _, ip := range pod.Status.PodIPs {
			if a, err := netip.ParseAddr(ip.IP); err == nil {
				ips = append(ips, a.Unmap())
			}
		}
		return ips, pod.Spec.NodeName, true
	}
	return p.podOfSlices(key)
}

// podOfSlices is podNamed for objects without Pods, such as most manifests: slices name
// those that are endpoints.
func (p *Picture) podOfSlices(key types.NamespacedName) (ips []netip.Addr, node string, ok bool) {
	if p.Objects == nil {
		return nil, "", false
	}
	for _, s := range p.Objects.Slices {
		if s.Namespace != key.Namespace {
			continue
		}
		for i := range s.Endpoints {
			e := &s.Endpoints[i]
			if e.TargetRef == nil || e.TargetRef.Kind != "Pod" || e.TargetRef.Name != key.Name || len(e.Addresses) == 0 {
				continue
			}
			if a, err := netip.ParseAddr(e.Addresses[0]); err == nil {
				ips, ok = append(ips, a.Unmap()), true
			}
			if e.NodeName != nil {
				node = *e.NodeName
			}
		}
	}
	return ips, node, ok
}
