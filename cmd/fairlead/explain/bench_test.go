// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package explain_test

import (
	"context"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fairlead/cmd/fairlead/explain"
	"fairlead/cmd/fairlead/view"
	"fairlead/nat/listing"
)

// onlyObjects is a node of which nothing but API objects can be read.
type onlyObjects struct {
	view.Node
	objects *view.Objects
}

func (n onlyObjects) Config(context.Context) (*view.Config, error)       { return &view.Config{}, nil }
func (n onlyObjects) Objects(context.Context) (*view.Objects, error)     { return n.objects, nil }
func (n onlyObjects) Table(context.Context) (*listing.Table, error)      { return nil, view.ErrAbsent }
func (n onlyObjects) Network(context.Context) (*view.Network, error)     { return nil, view.ErrAbsent }
func (n onlyObjects) Sysctls(context.Context) (map[string]string, error) { return nil, view.ErrAbsent }

// BenchmarkEndpoints lists the endpoints of all Services, of which the kernel uses none.
// The time for one Service must not grow with their number.
func BenchmarkEndpoints(b *testing.B) {
	for _, services := range []int{1000, 4000} {
		b.Run(fmt.Sprint(services), func(b *testing.B) {
			node := onlyObjects{objects: view.NewObjects(unready(services))}
			for b.Loop() {
				p, err := explain.Read(b.Context(), node)
				if err != nil {
					b.Fatal(err)
				}
				if n := len(p.Endpoints("")); n != services {
					b.Fatalf("%d endpoints, want %d", n, services)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*services), "us/Service")
		})
	}
}

// unready returns Services with an endpoint each that is not ready.
func unready(n int) (out []metav1.Object) {
	for i := range n {
		name, port := fmt.Sprintf("web-%05d", i), int32(80)
		ip := fmt.Sprintf("10.%d.%d.%d", 96+i>>16, i>>8&255, i&255)
		out = append(out, &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
			Spec:       corev1.ServiceSpec{ClusterIP: ip, ClusterIPs: []string{ip}, Ports: []corev1.ServicePort{{Port: port, Protocol: corev1.ProtocolTCP}}},
		}, &discoveryv1.EndpointSlice{
			ObjectMeta:  metav1.ObjectMeta{Namespace: "default", Name: name, Labels: map[string]string{discoveryv1.LabelServiceName: name}},
			AddressType: discoveryv1.AddressTypeIPv4,
			Ports:       []discoveryv1.EndpointPort{{Name: new(""), Port: &port, Protocol: new(corev1.ProtocolTCP)}},
			Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{"10.244.1.2"}, Conditions: discoveryv1.EndpointConditions{Ready: new(false)}}},
		})
	}
	return out
}
