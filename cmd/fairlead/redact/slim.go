// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package redact

import (
	"maps"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fairlead/cmd/fairlead/view"
)

// The functions here copy the fields that commands read. So a field that people or a new
// version of Kubernetes put a secret into is left out.

func slimObjects(o *view.Objects) *view.Objects {
	return &view.Objects{
		Services:     slimAll(o.Services, slimService),
		Slices:       slimAll(o.Slices, slimSlice),
		Nodes:        slimAll(o.Nodes, slimNode),
		ServiceCIDRs: slimAll(o.ServiceCIDRs, slimServiceCIDR),
		Pods:         slimAll(o.Pods, slimPod),
		Missing:      maps.Clone(o.Missing),
	}
}

func slimAll[T any](list []*T, slim func(*T) *T) []*T {
	var out []*T
	for _, v := range list {
		out = append(out, slim(v))
	}
	return out
}

// annotationPrefixes are those of annotations that fairlead reads.
func annotationPrefixes() []string {
	return []string{"service.kubernetes.io/", "endpoints.kubernetes.io/", "flannel.alpha.coreos.com/", "fairlead.dev/", "fairlead/"}
}

func slimMeta(m *metav1.ObjectMeta) metav1.ObjectMeta {
	out := metav1.ObjectMeta{
		Name: m.Name, Namespace: m.Namespace, UID: m.UID, ResourceVersion: m.ResourceVersion, Generation: m.Generation,
		CreationTimestamp: m.CreationTimestamp, DeletionTimestamp: m.DeletionTimestamp, Labels: maps.Clone(m.Labels),
	}
	for key, value := range m.Annotations {
		for _, prefix := range annotationPrefixes() {
			if strings.HasPrefix(key, prefix) {
				metav1.SetMetaDataAnnotation(&out, key, value)
			}
		}
	}
	return out
}

func slimService(in *corev1.Service) *corev1.Service {
	out := &corev1.Service{ObjectMeta: slimMeta(&in.ObjectMeta)}
	in.Spec.DeepCopyInto(&out.Spec)
	for _, i := range in.Status.LoadBalancer.Ingress {
		out.Status.LoadBalancer.Ingress = append(out.Status.LoadBalancer.Ingress, corev1.LoadBalancerIngress{IP: i.IP, Hostname: i.Hostname, IPMode: i.IPMode})
	}
	return out
}

func slimSlice(in *discoveryv1.EndpointSlice) *discoveryv1.EndpointSlice {
	out := &discoveryv1.EndpointSlice{ObjectMeta: slimMeta(&in.ObjectMeta), AddressType: in.AddressType}
	deep := in.DeepCopy()
	out.Ports = deep.Ports
	for i := range deep.Endpoints {
		e := deep.Endpoints[i]
		e.DeprecatedTopology = nil
		if ref := e.TargetRef; ref != nil {
			e.TargetRef = &corev1.ObjectReference{Kind: ref.Kind, Namespace: ref.Namespace, Name: ref.Name}
		}
		out.Endpoints = append(out.Endpoints, e)
	}
	return out
}

func slimNode(in *corev1.Node) *corev1.Node {
	out := &corev1.Node{ObjectMeta: slimMeta(&in.ObjectMeta)}
	out.Spec = corev1.NodeSpec{PodCIDR: in.Spec.PodCIDR, PodCIDRs: in.Spec.PodCIDRs, Unschedulable: in.Spec.Unschedulable}
	for _, t := range in.Spec.Taints {
		out.Spec.Taints = append(out.Spec.Taints, corev1.Taint{Key: t.Key, Effect: t.Effect})
	}
	out.Status.Addresses = in.Status.Addresses
	for _, c := range in.Status.Conditions {
		out.Status.Conditions = append(out.Status.Conditions, corev1.NodeCondition{Type: c.Type, Status: c.Status, Reason: c.Reason, LastTransitionTime: c.LastTransitionTime})
	}
	return out
}

func slimServiceCIDR(in *networkingv1.ServiceCIDR) *networkingv1.ServiceCIDR {
	return &networkingv1.ServiceCIDR{ObjectMeta: slimMeta(&in.ObjectMeta), Spec: in.Spec}
}

func slimPod(in *corev1.Pod) *corev1.Pod {
	out := &corev1.Pod{ObjectMeta: slimMeta(&in.ObjectMeta)}
	out.Spec = corev1.PodSpec{
		NodeName: in.Spec.NodeName, HostNetwork: in.Spec.HostNetwork, RestartPolicy: in.Spec.RestartPolicy,
		Containers: slimContainers(in.Spec.Containers), InitContainers: slimContainers(in.Spec.InitContainers),
	}
	out.Status = corev1.PodStatus{
		Phase: in.Status.Phase, Reason: in.Status.Reason, HostIP: in.Status.HostIP, HostIPs: in.Status.HostIPs,
		PodIP: in.Status.PodIP, PodIPs: in.Status.PodIPs, StartTime: in.Status.StartTime,
	}
	for _, c := range in.Status.Conditions {
		out.Status.Conditions = append(out.Status.Conditions, corev1.PodCondition{Type: c.Type, Status: c.Status, Reason: c.Reason, LastTransitionTime: c.LastTransitionTime})
	}
	for i := range in.Status.ContainerStatuses {
		out.Status.ContainerStatuses = append(out.Status.ContainerStatuses, slimStatus(&in.Status.ContainerStatuses[i]))
	}
	return out
}

// slimContainers keeps the ports of containers, and which init containers go on running.
func slimContainers(list []corev1.Container) []corev1.Container {
	var out []corev1.Container
	for i := range list {
		out = append(out, corev1.Container{Name: list[i].Name, Ports: list[i].Ports, RestartPolicy: list[i].RestartPolicy})
	}
	return out
}

// slimStatus keeps the reasons, and not the messages, which may have a part of a log.
func slimStatus(in *corev1.ContainerStatus) corev1.ContainerStatus {
	out := corev1.ContainerStatus{Name: in.Name, Ready: in.Ready, Started: in.Started, RestartCount: in.RestartCount}
	if w := in.State.Waiting; w != nil {
		out.State.Waiting = &corev1.ContainerStateWaiting{Reason: w.Reason}
	}
	if t := in.State.Terminated; t != nil {
		out.State.Terminated = &corev1.ContainerStateTerminated{Reason: t.Reason, ExitCode: t.ExitCode}
	}
	if r := in.State.Running; r != nil {
		out.State.Running = r.DeepCopy()
	}
	return out
}
