// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"fairlead/bench/controlplane"
	"fairlead/internal/lab"
	"fairlead/internal/lab/labtest"
)

// cluster is a lab with a control plane, whose nodes run the agent.
type cluster struct {
	*lab.Cluster
	plane  *controlplane.Plane
	api    kubernetes.Interface
	dir    string
	agents []*agent
}

// newCluster starts everything but the agents.
func newCluster(t *testing.T, nodes int) *cluster {
	t.Helper()
	c := &cluster{Cluster: labtest.New(t, lab.Config{Nodes: nodes, IPv6: true, NoPodRoutes: true}), dir: t.TempDir()}
	plane, err := controlplane.Start(t.Context(), controlplane.Config{
		Host: c.Outside, Binary: binary(t, "controlplane"), Dir: c.dir,
		PodCIDRs:     c.Config.ClusterCIDRs(),
		ServiceCIDRs: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16"), netip.MustParsePrefix("fd00:10:96::/112")},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.showLogs(t) })
	c.plane, c.api = plane, plane.Client()
	if err := plane.StartControllers(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Node 0, where no pods run, has the allocator's first pod CIDRs; so the lab's
	// node N gets those that the lab gave it.
	c.addNode(t, "control-plane", c.Outside)
	for _, n := range c.Nodes {
		got := c.addNode(t, n.Name, n.Host)
		want := []string{n.PodCIDRs[0].String(), n.PodCIDRs[1].String()}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("pod CIDRs of %s (-want +got):\n%s", n.Name, diff)
		}
	}
	return c
}

func (c *cluster) showLogs(t *testing.T) {
	t.Helper()
	if !t.Failed() {
		return
	}
	logs := c.plane.Logs()
	for _, a := range c.agents {
		logs = append(logs, a.log)
	}
	for _, path := range logs {
		t.Logf("%s:\n%s", path, controlplane.Tail(path))
	}
	if keep := os.Getenv("E2E_LOGS"); keep != "" {
		if err := os.CopyFS(keep, os.DirFS(c.dir)); err != nil {
			t.Log(err)
		}
	}
}

// addNode writes a Node as the kubelet does, and returns the pod CIDRs that
// node-ipam gave it.
func (c *cluster) addNode(t *testing.T, name string, host *lab.Host) (cidrs []string) {
	t.Helper()
	node := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Labels: map[string]string{corev1.LabelHostname: name},
			// flannel 0.28.4 panics on a Node without any.
			Annotations: map[string]string{"volumes.kubernetes.io/controller-managed-attach-detach": "true"},
		},
	}
	for _, ip := range host.Addrs() {
		node.Status.Addresses = append(node.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: ip.String()})
	}
	node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
	status := node.Status
	node, err := c.api.CoreV1().Nodes().Create(t.Context(), node, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	node.Status = status
	node.ResourceVersion = "" // node-ipam writes to it as well
	if _, err := c.api.CoreV1().Nodes().UpdateStatus(t.Context(), node, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "node-ipam gives "+name+" pod CIDRs", func(ctx context.Context) error {
		node, err := c.api.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if len(node.Spec.PodCIDRs) != 2 {
			return fmt.Errorf("podCIDRs are %q", node.Spec.PodCIDRs)
		}
		cidrs = slices.Clone(node.Spec.PodCIDRs)
		return nil
	})
	return cidrs
}
