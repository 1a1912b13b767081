// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"

	"fairlead/bench/controlplane"
	"fairlead/internal/lab"
	"fairlead/internal/lab/labtest"
)

// patience is for one step of a cluster that starts, on a loaded machine.
const patience = 3 * time.Minute

// cluster is a control plane and nodes that run containers.
type cluster struct {
	*lab.Cluster
	plane  *controlplane.Plane
	api    kubernetes.Interface
	dir    string
	cgroup string
}

// newCluster starts a cluster of two nodes that have the image of the agent.
func newCluster(t *testing.T) *cluster {
	t.Helper()
	return startCluster(t, binary(t, "fairlead.tar"))
}

// startCluster starts a cluster of two nodes that have the images of these archives.
func startCluster(t *testing.T, archives ...string) *cluster {
	t.Helper()
	const nodes = 2
	need(t)
	c := &cluster{Cluster: labtest.New(t, lab.Config{Nodes: nodes, NoPodRoutes: true}), dir: t.TempDir()}
	images := filepath.Join(c.dir, "images")
	if err := os.Mkdir(images, 0o755); err != nil {
		t.Fatal(err)
	}
	writeImages(t, images)
	for _, a := range archives {
		if err := os.Symlink(a, filepath.Join(images, filepath.Base(a))); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	c.plane, err = controlplane.Start(t.Context(), controlplane.Config{
		Host: c.Outside, Binary: binary(t, "controlplane"), Dir: c.dir,
		PodCIDRs:     c.Config.ClusterCIDRs(),
		ServiceCIDRs: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16")},
		Controllers:  []string{"daemonset-controller", "node-lifecycle-controller", "garbage-collector-controller"},
	})
	if err != nil {
		t.Fatal(err)
	}
	c.api = c.plane.Client()
	if err := c.plane.StartControllers(t.Context()); err != nil {
		t.Fatal(err)
	}
	kubeconfig, err := c.plane.Kubeconfig("scheduler.kubeconfig", c.plane.URL(), c.plane.AdminAuth())
	if err != nil {
		t.Fatal(err)
	}
	c.run(t, c.Outside, "kube-scheduler", exec.Command(binary(t, "node"),
		"kube-scheduler", "--kubeconfig", kubeconfig, "--bind-address=127.0.0.1", "--leader-elect=false"))
	names := make([]string, len(c.Nodes))
	for i, n := range c.Nodes {
		names[i] = n.Name
	}
	c.cgroup = newCgroup(t, names)
	for _, n := range c.Nodes {
		removeGuards(t, n)
		c.startNode(t, n.Host, images)
	}
	return c
}

// removeGuards removes the routes that the lab makes for its own pods: the API server may
// give the podCIDR of a node of the lab to another one.
func removeGuards(t *testing.T, n *lab.Node) {
	t.Helper()
	routes, err := n.Netlink().RouteList(nil, netlink.FAMILY_V4)
	for _, r := range routes {
		if r.Type == unix.RTN_UNREACHABLE {
			err = errors.Join(err, n.Netlink().RouteDel(&r))
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

// eventually polls until f returns nil.
func eventually(t *testing.T, what string, f func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		err := f(ctx)
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s: %v", what, err)
		}
	}
}

// rolledOut waits as kubectl rollout status does: all pods of the DaemonSet are those of
// its newest template, and ready.
func (c *cluster) rolledOut(t *testing.T) {
	t.Helper()
	eventually(t, "roll out the DaemonSet", func(ctx context.Context) error {
		ds, err := c.api.AppsV1().DaemonSets(agentNamespace).Get(ctx, agent, metav1.GetOptions{})
		if err != nil {
			return err
		}
		want, s := int32(len(c.Nodes)), ds.Status
		if s.ObservedGeneration < ds.Generation || s.UpdatedNumberScheduled != want || s.NumberAvailable != want {
			return fmt.Errorf("%d pods are updated and %d available of %d", s.UpdatedNumberScheduled, s.NumberAvailable, want)
		}
		return nil
	})
}

// runServer starts a pod that belongs to the Service web on a node, and returns its address.
func (c *cluster) runServer(t *testing.T, node string) (addr string) {
	t.Helper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: serverOn(node), Labels: map[string]string{"app": web}},
		Spec: corev1.PodSpec{
			NodeSelector:                 map[string]string{corev1.LabelHostname: node},
			AutomountServiceAccountToken: new(false),
			Containers: []corev1.Container{{Name: "server", Image: serverImage, ReadinessProbe: &corev1.Probe{
				PeriodSeconds: 1, ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Port: intstr.FromInt32(podPort)}},
			}}},
		},
	}
	eventually(t, "create pod "+pod.Name, func(ctx context.Context) error {
		_, err := c.api.CoreV1().Pods(metav1.NamespaceDefault).Create(ctx, pod, metav1.CreateOptions{})
		return err
	})
	eventually(t, "run pod "+pod.Name, func(ctx context.Context) error {
		p, err := c.api.CoreV1().Pods(metav1.NamespaceDefault).Get(ctx, pod.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, cond := range p.Status.Conditions {
			if cond.Type == corev1.PodReady && cond.Status == corev1.ConditionTrue {
				addr = p.Status.PodIP
				return nil
			}
		}
		return fmt.Errorf("it is %s: %+v", p.Status.Phase, p.Status.ContainerStatuses)
	})
	return net.JoinHostPort(addr, fmt.Sprint(podPort))
}

func serverOn(node string) string { return "server-" + node }

// from returns a dialer inside the namespace of a host.
func from(h *lab.Host) dialer {
	return func(ctx context.Context, network, address string) (conn net.Conn, err error) {
		err = h.NS.Do(func() error {
			conn, err = new(net.Dialer).DialContext(ctx, network, address)
			return err
		})
		return conn, err
	}
}
