// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package rig

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/uuid"
)

const (
	namespace = "default"
	filled    = "service-" // names of the Services that Fill makes
	port      = 80
	perSlice  = 1000 // the most that the API server takes; controllers use 100
)

var (
	serviceNet = netip.MustParsePrefix("10.96.0.0/12")
	filledNet  = netip.MustParsePrefix("10.97.0.0/16")
)

// Shape is how many Services there are besides the probes, and what they have.
type Shape struct {
	Services  int
	Endpoints int // of each
	PerSlice  int // 0 is 100, as the endpointslice controller has it
}

// String is Shape in the form "1000 x 10".
func (s Shape) String() string { return fmt.Sprintf("%d x %d", s.Services, s.Endpoints) }

// Fill makes the cluster hold the Services of a shape, and no others. It returns once
// the API server knows the last one.
func (r *Rig) Fill(ctx context.Context, shape Shape) error {
	if err := r.store.Clear(ctx, namespace, filled, "10.97."); err != nil {
		return err
	}
	r.VIPs = r.VIPs[:0]
	size := shape.PerSlice
	if size == 0 {
		size = 100
	}
	vip, next := filledNet.Addr(), manyNet.Addr()
	var batch []runtime.Object
	for i := range shape.Services {
		vip = vip.Next()
		r.VIPs = append(r.VIPs, vip)
		name := Name(i)
		batch = append(batch, service(name, vip), address(name, vip))
		for first := 0; first < shape.Endpoints; first += size {
			var addrs []netip.Addr
			for range min(size, shape.Endpoints-first) {
				next = next.Next()
				addrs = append(addrs, next)
			}
			batch = append(batch, slice(name, fmt.Sprintf("%s-%d", name, first/size), addrs...))
		}
		if len(batch) > 2000 || i == shape.Services-1 {
			if err := r.store.Put(ctx, batch...); err != nil {
				return err
			}
			batch = batch[:0]
		}
	}
	return r.known(ctx, shape.Services)
}

// Name is that of the i-th Service that Fill makes.
func Name(i int) string { return fmt.Sprintf("%s%05d", filled, i) }

// known waits until the API server serves what etcd has.
func (r *Rig) known(ctx context.Context, services int) error {
	want := services + 2 + len(r.Seats) // probe, the flows of each seat, and "kubernetes"
	return poll(ctx, time.Minute, func() error {
		list, err := r.API.CoreV1().Services("").List(ctx, metav1.ListOptions{ResourceVersion: "0"})
		if err == nil && len(list.Items) != want {
			err = fmt.Errorf("the API server knows %d Services, want %d", len(list.Items), want)
		}
		return err
	})
}

func meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: namespace, Name: name, UID: uuid.NewUUID(), CreationTimestamp: metav1.Now()}
}

// service is complete, because the API server does not default it.
func service(name string, vip netip.Addr, ports ...corev1.ServicePort) *corev1.Service {
	s := &corev1.Service{ObjectMeta: meta(name), Spec: corev1.ServiceSpec{
		Type: corev1.ServiceTypeClusterIP, ClusterIP: vip.String(), ClusterIPs: []string{vip.String()},
		IPFamilies: []corev1.IPFamily{corev1.IPv4Protocol}, IPFamilyPolicy: new(corev1.IPFamilyPolicySingleStack),
		SessionAffinity: corev1.ServiceAffinityNone, InternalTrafficPolicy: new(corev1.ServiceInternalTrafficPolicyCluster),
		Ports: ports,
	}}
	if len(ports) == 0 {
		s.Spec.Ports = []corev1.ServicePort{servicePort("http", corev1.ProtocolTCP, port, podPort, 0)}
	}
	return s
}

func servicePort(name string, proto corev1.Protocol, port, target, nodePort int32) corev1.ServicePort {
	p := corev1.ServicePort{Name: name, Protocol: proto, Port: port, NodePort: nodePort}
	p.TargetPort.IntVal = target
	return p
}

// address keeps the API server's repair of ClusterIPs from work of its own.
func address(service string, vip netip.Addr) *networkingv1.IPAddress {
	m := meta(vip.String())
	m.Namespace = ""
	m.Labels = map[string]string{networkingv1.LabelIPAddressFamily: "IPv4", networkingv1.LabelManagedBy: "ipallocator.k8s.io"}
	return &networkingv1.IPAddress{ObjectMeta: m, Spec: networkingv1.IPAddressSpec{
		ParentRef: &networkingv1.ParentReference{Resource: "services", Namespace: namespace, Name: service},
	}}
}

func slice(service, name string, addrs ...netip.Addr) *discoveryv1.EndpointSlice {
	s := &discoveryv1.EndpointSlice{
		ObjectMeta:  meta(name),
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Name: new("http"), Port: new(int32(podPort)), Protocol: new(corev1.ProtocolTCP)}},
	}
	s.Labels = map[string]string{discoveryv1.LabelServiceName: service}
	for _, a := range addrs {
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{
			Addresses:  []string{a.String()},
			Conditions: discoveryv1.EndpointConditions{Ready: new(true), Serving: new(true), Terminating: new(false)},
		})
	}
	return s
}
