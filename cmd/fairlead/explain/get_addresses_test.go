// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fairlead/cmd/fairlead/view"
)

// TestWho has a tenant claim the addresses of the pods and nodes of others. They are still named,
// and so is the tenant.
func TestWho(t *testing.T) {
	slice := func(namespace, pod string, addresses ...string) *discoveryv1.EndpointSlice {
		return &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: namespace}, Endpoints: []discoveryv1.Endpoint{
			{Addresses: addresses, TargetRef: &corev1.ObjectReference{Kind: "Pod", Name: pod}},
		}}
	}
	objects := &view.Objects{
		Slices: []*discoveryv1.EndpointSlice{
			slice("zzz", "evil", "10.244.0.1", "192.0.2.1", "no address"), slice("shop", "web", "10.244.0.1"), slice("shop", "web", "10.244.0.1"),
			slice("shop", "cart", "10.244.0.2", "fd00::2"),
		},
		Nodes: []*corev1.Node{{ObjectMeta: metav1.ObjectMeta{Name: "worker"}, Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{{Address: "192.0.2.1"}, {Address: "worker"}}}}},
	}
	for i := range 50 {
		objects.Slices = append(objects.Slices, slice("crowd", fmt.Sprintf("pod-%02d", i), "10.244.0.3"))
	}
	got := (&Picture{Objects: objects}).who()
	want := map[string]string{
		"10.244.0.1": "pod shop/web or pod zzz/evil", "192.0.2.1": "node worker or pod zzz/evil", "10.244.0.2": "pod shop/cart", "fd00::2": "pod shop/cart",
		"10.244.0.3": "pod crowd/pod-00 or pod crowd/pod-01 or pod crowd/pod-02 or 47 others",
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
