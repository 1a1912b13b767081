// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	k8stesting "k8s.io/client-go/testing"
)

// TestSetAvailable waits until the network is ready, tries again when the API
// server refuses, and leaves other conditions alone.
func TestSetAvailable(t *testing.T) {
	client := fake.NewClientset(&corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "node-a"},
		Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{
			{Type: corev1.NodeReady, Status: corev1.ConditionTrue},
			{Type: corev1.NodeNetworkUnavailable, Status: corev1.ConditionTrue, Reason: "NoRouteCreated"},
		}},
	})
	var ready atomic.Bool
	refusals := 1
	client.PrependReactor("patch", "nodes", func(a k8stesting.Action) (bool, runtime.Object, error) {
		if !ready.Load() {
			t.Error("the condition is patched before the network is ready")
		}
		if a.GetSubresource() != "status" {
			t.Errorf("subresource %q is patched, want status", a.GetSubresource())
		}
		if refusals--; refusals >= 0 {
			return true, nil, errors.New("not now")
		}
		return false, nil, nil
	})
	done := make(chan error)
	go func() {
		done <- setAvailable(t.Context(), client, "node-a", func() bool { return ready.Swap(true) })
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	node, err := client.CoreV1().Nodes().Get(context.Background(), "node-a", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	got := map[corev1.NodeConditionType]corev1.ConditionStatus{}
	for _, c := range node.Status.Conditions {
		got[c.Type] = c.Status
	}
	if got[corev1.NodeReady] != corev1.ConditionTrue || got[corev1.NodeNetworkUnavailable] != corev1.ConditionFalse {
		t.Errorf("conditions %v, want Ready true and NetworkUnavailable false", got)
	}
}
