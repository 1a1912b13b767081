// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fairlead/internal/lab"
)

// news is what happened in the cluster while agents did not hear of it.
type news struct {
	pod  *pod // new in steady
	born *corev1.Service
	died []path // ways to a Service that was deleted
}

// doomed makes a Service that change deletes.
func (r *run) doomed(t *testing.T, name string) []path {
	t.Helper()
	ways := r.paths(t, r.expose(t, "doomed-"+name, "steady"))
	meets(t, ways, r.pods[0].Name)
	return ways
}

// change adds a pod to steady and a Service name, and deletes the Service that
// doomed made.
func (r *run) change(t *testing.T, name string, doomed []path) *news {
	t.Helper()
	n := &news{pod: r.addPod(t, r.Nodes[0]), born: r.expose(t, "born-"+name, "steady"), died: doomed}
	if err := r.api.CoreV1().Services(namespace).Delete(t.Context(), "doomed-"+name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	return n
}

// arrived waits until every agent does what the news ask for, and takes the pod
// and the Service away again.
func (r *run) arrived(t *testing.T, n *news) {
	t.Helper()
	meets(t, r.ways, n.pod.Name)
	meets(t, r.paths(t, n.born), n.pod.Name)
	answers(t, r.inside(n.died), lab.ErrTimeout)
	if err := r.api.CoreV1().Services(namespace).Delete(t.Context(), n.born.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	r.evict(t, n.pod)
	quiet(t, n.pod)
	r.remove(t, n.pod)
	r.pods = r.pods[:len(r.pods)-1]
}

// nothingDeleted makes sure that no agent takes anything out of its table from
// here to when the returned function is called.
func (r *run) nothingDeleted(t *testing.T) func() {
	t.Helper()
	before := make([]float64, len(r.agents))
	for i, a := range r.agents {
		before[i] = a.deletes(t)
	}
	return func() {
		t.Helper()
		for i, a := range r.agents {
			if n := a.deletes(t) - before[i]; n != 0 {
				t.Errorf("%s deleted %g things meanwhile", a.node.Name, n)
			}
		}
	}
}
