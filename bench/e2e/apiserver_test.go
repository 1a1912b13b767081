// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fairlead/internal/lab"
)

// older kills the API server and starts one that, as before Kubernetes 1.34,
// cannot stream lists: agents have to list, which is why their role allows it.
func older(t *testing.T, r *run) {
	t.Helper()
	doomed := r.doomed(t, "older")
	kept := r.nothingDeleted(t)
	r.restart(t, func() { r.load.goesOn(t) }, "--feature-gates=WatchList=false")
	r.load.goesOn(t)
	kept()
	r.arrived(t, r.change(t, "older", doomed))
}

// restart kills the API server, and starts it after what happens meanwhile.
func (r *run) restart(t *testing.T, meanwhile func(), flags ...string) {
	t.Helper()
	if err := r.plane.KillAPIServer(); err != nil {
		t.Fatal(err)
	}
	meanwhile()
	if err := r.plane.StartAPIServer(t.Context(), flags...); err != nil {
		t.Fatal(err)
	}
}

// startAlone restarts every agent while there is no API server. They find their
// tables and leave them alone, until they know better.
func startAlone(t *testing.T, r *run) {
	t.Helper()
	doomed := r.doomed(t, "alone")
	r.restart(t, func() {
		for _, a := range r.agents {
			a.stop(t)
			a.start(t)
			a.value(t, "fairlead_nat_commits_total") // it has begun
		}
		r.load.goesOn(t)
		for _, a := range r.agents {
			if n := a.value(t, "fairlead_nat_commits_total"); n != 0 {
				t.Errorf("%s wrote to the kernel %g times before it knew anything", a.node.Name, n)
			}
		}
	})
	r.arrived(t, r.change(t, "alone", doomed))
}

// compacted lets agents resume watches at revisions that neither the API
// server's cache nor etcd has any more: 410 Gone.
func compacted(t *testing.T, r *run) {
	t.Helper()
	doomed := r.doomed(t, "compacted")
	kept := r.nothingDeleted(t)
	logs := make([]int64, len(r.agents))
	for i, a := range r.agents {
		a.gate.Shut()
		logs[i] = a.logSize(t)
	}
	n := r.change(t, "compacted", doomed)
	r.restart(t, func() {})
	revision, err := r.plane.Compact(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("etcd forgot what was before revision %d", revision)
	r.load.goesOn(t)
	kept()
	for _, a := range r.agents {
		a.gate.Open()
	}
	for i, a := range r.agents {
		a.logged(t, logs[i], "too old resource version")
	}
	r.arrived(t, n)
}

// restored puts back an older state of etcd, whose versions are below those that the agents have
// seen. They forget what was made since, and serve again what was deleted since.
func restored(t *testing.T, r *run) {
	t.Helper()
	doomed := r.doomed(t, "restored")
	if err := r.plane.Save(t.Context()); err != nil {
		t.Fatal(err)
	}
	const more = 10_000 // than the restored API server makes by itself while the scene lasts
	if err := r.plane.Age(t.Context(), more); err != nil {
		t.Fatal(err)
	}
	n := r.change(t, "restored", doomed)
	born := r.paths(t, n.born)
	meets(t, born, n.pod.Name)
	answers(t, r.inside(doomed), lab.ErrTimeout)
	r.load.goesOn(t)

	if err := r.plane.StopControllers(); err != nil {
		t.Fatal(err)
	}
	if err := r.plane.Restore(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := r.plane.StartControllers(t.Context()); err != nil {
		t.Fatal(err)
	}
	meets(t, doomed, r.pods[0].Name)
	answers(t, r.inside(born), lab.ErrTimeout)
	quiet(t, n.pod)
	if err := n.pod.Close(); err != nil {
		t.Fatal(err)
	}
	r.pods = r.pods[:len(r.pods)-1]
	r.arrived(t, r.change(t, "restored", doomed)) // the same once more, by watches of today
}

// tokens has running agents come back with tokens that are no longer good, and
// find expired ones in their files, as on a node that slept. They recover by
// themselves when the files are renewed.
func tokens(t *testing.T, r *run) {
	t.Helper()
	doomed := r.doomed(t, "tokens")
	kept := r.nothingDeleted(t)
	for _, a := range r.agents {
		a.gate.Shut()
	}
	r.renewAccount(t)
	r.restart(t, func() {}) // else tokens are believed for ten more seconds
	expired, err := r.plane.ExpiredToken(t.Context(), agentNamespace, agentAccount)
	if err != nil {
		t.Fatal(err)
	}
	logs := make([]int64, len(r.agents))
	for i, a := range r.agents {
		a.writeToken(t, expired)
		logs[i] = a.logSize(t)
		a.gate.Open()
	}
	n := r.change(t, "tokens", doomed)
	for i, a := range r.agents {
		a.logged(t, logs[i], "Unauthorized")
	}
	r.load.goesOn(t)
	kept()
	for _, a := range r.agents {
		a.writeToken(t, r.token(t))
	}
	r.arrived(t, n)
}

// renewAccount replaces the agent's service account by one of the same name.
// Tokens name the UID of the one they were made for.
func (r *run) renewAccount(t *testing.T) {
	t.Helper()
	accounts := r.api.CoreV1().ServiceAccounts(agentNamespace)
	if err := accounts.Delete(t.Context(), agentAccount, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: agentAccount}}
	if _, err := accounts.Create(t.Context(), account, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}
