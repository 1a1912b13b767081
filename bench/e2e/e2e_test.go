// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fairlead/internal/lab"
	"fairlead/internal/lab/labtest"
)

// run is what the scenes of TestAgents share: the Service "steady", to which
// connections are made all the time.
type run struct {
	*cluster
	steady *corev1.Service
	ways   []path // to steady
	pods   []*pod // of steady
	load   *load
	made   int
}

// TestAgents plays its scenes one after the other on one cluster: what the API
// server starts with is what the scene before left behind.
func TestAgents(t *testing.T) {
	c := newCluster(t, 3)
	rules := c.install(t)
	for _, n := range c.Nodes {
		labtest.Pod(t, n, clientPod(n), 0)
	}
	r := &run{cluster: c}
	for i := range 4 {
		r.addPod(t, c.Nodes[i%len(c.Nodes)])
	}
	r.steady = c.expose(t, "steady", "steady")
	r.ways = c.paths(t, r.steady)
	c.awaitSlices(t, r.steady.Name, len(r.pods))
	c.startAgents(t)
	for _, a := range c.agents {
		a.awaitSync(t)
	}
	for _, p := range r.pods {
		meets(t, r.ways, p.Name)
	}
	r.load = startLoad(t, r.ways)
	for _, scene := range []scene{
		{"rollout", rollout},
		{"service without pods", empty},
		{"address of two services", contested},
		{"watches are cut", cutOff},
		{"watches are stale", stale},
		{"watches are slow", slow},
		{"API server is killed and comes back older", older},
		{"agents start while the API server is away", startAlone},
		{"etcd is compacted", compacted},
		{"etcd is restored", restored},
		{"tokens expire", tokens},
		{"manifests of deploy", manifests},
	} {
		if !t.Run(scene.name, func(t *testing.T) { r.play(t, scene) }) {
			break
		}
	}
	r.load.stop(t)
	t.Run("table is flushed", func(t *testing.T) { flushed(t, r) })
	t.Run("role", func(t *testing.T) { checkRole(t, c, rules) })
}

type scene struct {
	name string
	play func(*testing.T, *run)
}

// play lets connections go on for a while after the scene.
func (r *run) play(t *testing.T, s scene) {
	t.Helper()
	start := time.Now()
	s.play(t, r)
	r.load.goesOn(t)
	t.Logf("%.1f s", time.Since(start).Seconds())
}

// addPod runs one more pod of steady.
func (r *run) addPod(t *testing.T, node *lab.Node) *pod {
	t.Helper()
	r.made++
	p := r.runPod(t, node, fmt.Sprintf("steady-%d", r.made), "steady")
	r.pods = append(r.pods, p)
	return p
}

// empty exposes a Service that nobody serves, then somebody, then deletes it.
func empty(t *testing.T, r *run) {
	t.Helper()
	s := r.expose(t, "lonely", "lonely")
	ways := r.paths(t, s)
	answers(t, ways, lab.ErrRefused)
	r.runPod(t, r.Nodes[1], "lonely", "lonely")
	meets(t, ways, "lonely")
	if err := r.api.CoreV1().Services(namespace).Delete(t.Context(), s.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	answers(t, r.inside(ways), lab.ErrTimeout)
}
