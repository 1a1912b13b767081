// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fairlead/bench/controlplane"
	"fairlead/internal/lab"
)

// The pod of helm test, as the chart makes it.
const (
	helmNamespace = "fairlead-helm-test"
	helmPod       = "fairlead-connectivity-test"
)

// TestConnectivity runs what helm test runs, with its own account and rights. It passes
// on a cluster that works, and says what is broken on one where the agent is gone from the
// nodes and a route with it.
func TestConnectivity(t *testing.T) {
	c := newCluster(t)
	c.apply(t, "kubelet.yaml")
	c.rolledOut(t)
	phase, log := c.helmTest(t)
	t.Log(log)
	if phase != corev1.PodSucceeded || !strings.Contains(log, " 0 failed") || strings.Contains(log, "setup") {
		t.Fatalf("helm test on a cluster that works: the pod %s", phase)
	}
	c.nothingLeft(t)

	if err := c.api.AppsV1().DaemonSets(agentNamespace).Delete(t.Context(), agent, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	c.awaitNoAgents(t)
	removePodRoutes(t, c.Nodes[0].Host)
	phase, log = c.helmTest(t)
	t.Log(log)
	one, two := c.Nodes[0].Name, c.Nodes[1].Name
	for _, want := range []string{
		"FAILED  pod: from pod on " + one + " to pod on " + two + " (",
		"found   no answer in time",
		"next    on " + one + ": fairlead check",
		"FAILED  ClusterIP: from pod on " + two + " to Service " + helmNamespace + "/fairlead-test-cluster (",
		"next    on " + two + ": fairlead explain --from pod ",
	} {
		if !strings.Contains(log, want) {
			t.Errorf("the test does not say %q", want)
		}
	}
	if phase != corev1.PodFailed || strings.Contains(log, "FAILED  pod: from pod on "+one+" to pod on "+one+" (") {
		t.Errorf("helm test on a broken cluster: the pod %s", phase)
	}
	c.nothingLeft(t)
}

// helmTest makes the objects of helm test anew, and returns how the pod ended and what it
// printed.
func (c *cluster) helmTest(t *testing.T) (phase corev1.PodPhase, log string) {
	t.Helper()
	pods := c.api.CoreV1().Pods(helmNamespace)
	if err := pods.Delete(t.Context(), helmPod, metav1.DeleteOptions{GracePeriodSeconds: new(int64)}); err != nil && !apierrors.IsNotFound(err) {
		t.Fatal(err)
	}
	docs, err := controlplane.Documents(binary(t, "kubelet-tests.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "make the objects of helm test", func(context.Context) error {
		return controlplane.Apply(t.Context(), c.plane.Admin(), docs) // the account's token takes a moment
	})
	eventually(t, "run helm test", func(ctx context.Context) error {
		p, err := pods.Get(ctx, helmPod, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if phase = p.Status.Phase; phase != corev1.PodSucceeded && phase != corev1.PodFailed {
			return fmt.Errorf("the pod is %s: %+v", phase, p.Status.ContainerStatuses)
		}
		return nil
	})
	body, err := pods.GetLogs(helmPod, &corev1.PodLogOptions{}).Stream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = body.Close() }()
	b, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return phase, string(b)
}

// nothingLeft checks that the test removed its pods and Services.
func (c *cluster) nothingLeft(t *testing.T) {
	t.Helper()
	pods, err1 := c.api.CoreV1().Pods(helmNamespace).List(t.Context(), metav1.ListOptions{})
	services, err2 := c.api.CoreV1().Services(helmNamespace).List(t.Context(), metav1.ListOptions{})
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	if len(pods.Items) != 1 || len(services.Items) != 0 {
		t.Errorf("the test leaves %d pods and %d Services", len(pods.Items)-1, len(services.Items))
	}
}

// removePodRoutes removes the routes to the pods of other nodes.
func removePodRoutes(t *testing.T, h *lab.Host) {
	t.Helper()
	routes, err := h.Netlink().RouteList(nil, netlink.FAMILY_V4)
	if err != nil {
		t.Fatal(err)
	}
	removed := 0
	for _, r := range routes {
		if r.Dst != nil && strings.HasPrefix(r.Dst.String(), "10.244.") && r.Gw != nil {
			if err := h.Netlink().RouteDel(&r); err != nil {
				t.Fatal(err)
			}
			removed++
		}
	}
	if removed == 0 {
		t.Fatalf("%s has no routes to other nodes' pods: %v", h.Name, routes)
	}
}
