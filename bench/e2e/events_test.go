// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"

	"fairlead/internal/nstest"
)

// contested lets two Services have one address. The younger is told so.
func contested(t *testing.T, r *run) {
	t.Helper()
	for _, name := range []string{"address-1", "address-2"} {
		s := r.expose(t, name, "steady")
		r.update(t, s.Name, func(s *corev1.Service) { s.Spec.ExternalIPs = []string{"203.0.113.7"} })
	}
	r.told(t, "address-2", "ProxyProblem", 1)
	for _, name := range []string{"address-1", "address-2"} {
		if err := r.api.CoreV1().Services(namespace).Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
}

func (r *run) update(t *testing.T, name string, change func(*corev1.Service)) {
	t.Helper()
	services := r.api.CoreV1().Services(namespace)
	err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
		s, err := services.Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		change(s)
		_, err = services.Update(t.Context(), s, metav1.UpdateOptions{})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// flushed has somebody throw away a node's tables, twice. It is put right, and
// said once, with a count. No load runs: what connects just then can fail.
func flushed(t *testing.T, r *run) {
	t.Helper()
	n := r.Nodes[0]
	for i := range 2 {
		if out, err := nstest.Command(t, n.NS, "nft", "flush", "ruleset").CombinedOutput(); err != nil {
			t.Fatalf("nft flush ruleset: %v\n%s", err, out)
		}
		for _, p := range r.pods {
			meets(t, r.ways, p.Name)
		}
		r.told(t, n.Name, "TableRepaired", int32(i+1))
	}
}

// told waits for an Event about an object, seen so many times.
func (r *run) told(t *testing.T, about, reason string, times int32) {
	t.Helper()
	eventually(t, reason+" is reported of "+about, func(ctx context.Context) error {
		list, err := r.api.EventsV1().Events(metav1.NamespaceAll).List(ctx, metav1.ListOptions{FieldSelector: "reason=" + reason})
		if err != nil {
			return err
		}
		for _, e := range list.Items {
			if e.Regarding.Name == about && seen(&e) >= times {
				t.Logf("Event %s of %s %s: %s", e.Reason, e.Regarding.Kind, about, e.Note)
				return nil
			}
		}
		return fmt.Errorf("it is not, in %d Events", len(list.Items))
	})
}

func seen(e *eventsv1.Event) int32 {
	if e.Series != nil {
		return e.Series.Count
	}
	return 1
}
