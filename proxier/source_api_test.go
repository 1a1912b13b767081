// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"context"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
)

// eventually waits until ok, or fails the test.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not within 10 s: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// TestRunAPI follows objects of an API server through the informers.
func TestRunAPI(t *testing.T) {
	port := int32(8080)
	name := "http"
	client := fake.NewClientset(
		&corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web"},
			Spec:       corev1.ServiceSpec{ClusterIP: "10.96.0.10", Ports: []corev1.ServicePort{{Name: name, Port: 80}}},
		},
		&discoveryv1.EndpointSlice{
			ObjectMeta:  metav1.ObjectMeta{Namespace: "default", Name: "web-1", Labels: map[string]string{discoveryv1.LabelServiceName: "web"}},
			AddressType: discoveryv1.AddressTypeIPv4,
			Ports:       []discoveryv1.EndpointPort{{Name: &name, Port: &port}},
			Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{"10.244.0.1"}}, {Addresses: []string{"nonsense"}}},
		},
		&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node-a"}},
		&networkingv1.ServiceCIDR{ObjectMeta: metav1.ObjectMeta{Name: "kubernetes"}, Spec: networkingv1.ServiceCIDRSpec{CIDRs: []string{"10.96.0.0/16"}}},
	)
	client.Resources = []*metav1.APIResourceList{{
		GroupVersion: "networking.k8s.io/v1", APIResources: []metav1.APIResource{{Name: "servicecidrs"}},
	}}
	store := NewStore()
	ExpectAPI(store)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- RunAPI(ctx, client, store) }()

	web := types.NamespacedName{Namespace: "default", Name: "web"}
	eventually(t, "first lists", store.Synced)
	if store.Service(web) == nil || len(store.Slices(web)) != 1 || store.Node("node-a") == nil || len(store.ServiceCIDRs()) != 1 {
		t.Fatal("an object is missing after the first lists")
	}
	if got := len(store.Slices(web)[0].Endpoints); got != 1 {
		t.Errorf("%d endpoints, want the valid one", got)
	}
	if ps := store.Problems(); len(ps) != 1 || ps[0].Field != "endpoints[1].addresses[0]" {
		t.Errorf("problems %v, want one about endpoints[1]", ps)
	}

	svc, err := client.CoreV1().Services("default").Get(ctx, "web", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	svc.Spec.Ports[0].Port = 81
	if _, err := client.CoreV1().Services("default").Update(ctx, svc, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "updated Service", func() bool { return store.Service(web).Ports[0].Port == 81 })
	if err := client.DiscoveryV1().EndpointSlices("default").Delete(ctx, "web-1", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "deleted slice", func() bool { return len(store.Slices(web)) == 0 && len(store.Problems()) == 0 })
	cancel()
	if err := <-done; err != nil {
		t.Errorf("RunAPI: %v", err)
	}
}
