// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package status

import (
	"context"
	"fmt"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/klog/v2"

	"fairlead/proxier/objects"
	"fairlead/proxier/proxiertest"
)

// TestEventsLimit: of a flood only the beginning reaches the API server.
func TestEventsLimit(t *testing.T) {
	e, client := newLimitedEvents(t)
	var flood []objects.Problem
	for i := range 10 * eventBurst {
		flood = append(flood, objects.Problem{Kind: objects.KindService, Name: fmt.Sprintf("default/s%03d", i), Text: "bad"})
	}
	e.Problems(flood)
	proxiertest.Eventually(t, "the first ones", func() bool { return countEvents(t, client) >= eventBurst })
	if n := countEvents(t, client); n > eventBurst+2 { // what a slow machine earns meanwhile
		t.Errorf("%d events, want about %d", n, eventBurst)
	}
	(*Events)(nil).Problems(flood)
	(*Events)(nil).Repaired("", "")
}

func newLimitedEvents(t *testing.T) (*Events, kubernetes.Interface) {
	t.Helper()
	client := fake.NewClientset()
	ctx, cancel := context.WithCancel(klog.NewContext(t.Context(), klog.Logger{}))
	t.Cleanup(cancel)
	e, err := NewEvents(ctx, client, "node-a")
	if err != nil {
		t.Fatal(err)
	}
	return e, client
}

func countEvents(t *testing.T, client kubernetes.Interface) int {
	t.Helper()
	list, err := client.EventsV1().Events("").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return len(list.Items)
}
