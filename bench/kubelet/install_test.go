// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"os/exec"
	"slices"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"fairlead/bench/controlplane"
	"fairlead/internal/lab"
)

const (
	agentNamespace = "kube-system"
	agent          = "fairlead" // the name of the DaemonSet
	web            = "web"      // the Service and the label of its pods
)

// TestInstall follows an operator: kube-proxy runs, the chart is applied, kube-proxy goes,
// the agent is restarted by a rolling update and in the end removed. New connections of
// every kind succeed from the moment when the pods run.
func TestInstall(t *testing.T) {
	c := newCluster(t)
	var proxies []*lab.Process
	for _, n := range c.Nodes {
		proxies = append(proxies, c.startKubeProxy(t, n.Host))
	}
	c.apply(t, "kubelet.yaml")
	c.rolledOut(t) // kube-proxy has port 10256 of each node all the while

	ways := c.ways(t)
	for _, w := range ways {
		for server, n := range w.count(t, 20) {
			if !slices.Contains(w.servers, server) {
				t.Errorf("%s: %q answered %d times", w.name, server, n)
			}
		}
	}
	if t.Failed() {
		return
	}
	load := startLoad(t, ways)
	for _, p := range proxies {
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range c.Nodes {
		c.healthy(t, n.Host)
	}
	c.restart(t)
	c.rolledOut(t)
	if err := c.api.AppsV1().DaemonSets(agentNamespace).Delete(t.Context(), agent, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	c.awaitNoAgents(t)
	load.stop(t)
	for _, w := range ways { // the data path stays in place
		w.count(t, 5)
	}
}

// apply applies a file of manifests that "make kubelet" made of the chart.
func (c *cluster) apply(t *testing.T, file string) {
	t.Helper()
	docs, err := controlplane.Documents(binary(t, file))
	if err == nil {
		err = controlplane.Apply(t.Context(), c.plane.Admin(), docs)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// startKubeProxy starts the real one, whose health port the agent wants as well.
func (c *cluster) startKubeProxy(t *testing.T, h *lab.Host) *lab.Process {
	t.Helper()
	kubeconfig, err := c.plane.Kubeconfig(h.Name+"-kube-proxy.kubeconfig", c.plane.URL(), c.plane.AdminAuth())
	if err != nil {
		t.Fatal(err)
	}
	p := c.run(t, h, h.Name+"-kube-proxy", exec.Command(binary(t, "controlplane"), "kube-proxy", "--kubeconfig", kubeconfig,
		"--hostname-override", h.Name, "--proxy-mode=nftables", "--cluster-cidr=10.244.0.0/16",
		"--conntrack-max-per-core=0", "--conntrack-tcp-timeout-established=0s", "--conntrack-tcp-timeout-close-wait=0s"))
	c.healthy(t, h)
	return p
}

// healthy waits until somebody answers kube-proxy's probe on the node.
func (c *cluster) healthy(t *testing.T, h *lab.Host) {
	t.Helper()
	eventually(t, "health of "+h.Name, func(ctx context.Context) error {
		_, err := ask(ctx, "127.0.0.1:10256/healthz", from(h))
		return err
	})
}

// restart does what kubectl rollout restart does.
func (c *cluster) restart(t *testing.T) {
	t.Helper()
	patch, err := json.Marshal(map[string]any{"spec": map[string]any{"template": map[string]any{"metadata": map[string]any{
		"annotations": map[string]string{"kubectl.kubernetes.io/restartedAt": time.Now().Format(time.RFC3339)},
	}}}})
	if err == nil {
		_, err = c.api.AppsV1().DaemonSets(agentNamespace).Patch(t.Context(), agent, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (c *cluster) awaitNoAgents(t *testing.T) {
	t.Helper()
	eventually(t, "end the agents", func(ctx context.Context) error {
		pods, err := c.api.CoreV1().Pods(agentNamespace).List(ctx, metav1.ListOptions{})
		if err == nil && len(pods.Items) > 0 {
			err = fmt.Errorf("%d pods are left", len(pods.Items))
		}
		return err
	})
}

// A way is one kind of connection, and who may answer it.
type way struct {
	name    string
	dial    dialer
	address string
	servers []string
}

// ways starts a server on each node, makes a Service of them, and returns connections to
// it and between its pods.
func (c *cluster) ways(t *testing.T) (ways []way) {
	t.Helper()
	service, err := c.api.CoreV1().Services(metav1.NamespaceDefault).Create(t.Context(), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: web},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeNodePort, Selector: map[string]string{"app": web},
			Ports: []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(podPort)}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var servers, pods []string
	for _, n := range c.Nodes {
		servers = append(servers, serverOn(n.Name))
		pods = append(pods, c.runServer(t, n.Name))
	}
	vip := net.JoinHostPort(service.Spec.ClusterIP, "80")
	for i, n := range c.Nodes {
		nodePort := net.JoinHostPort(n.Addr4.String(), fmt.Sprint(service.Spec.Ports[0].NodePort))
		other := (i + 1) % len(pods)
		ways = append(ways,
			way{"node " + n.Name + " to ClusterIP", from(n.Host), vip, servers},
			way{"outside to NodePort of " + n.Name, from(c.Outside), nodePort, servers},
			way{"pod on " + n.Name + " to ClusterIP", from(n.Host), via(pods[i], vip), servers},
			way{"pod on " + n.Name + " to a pod on another node", from(n.Host), via(pods[i], pods[other]), servers[other : other+1]},
		)
	}
	eventually(t, "reach the Service", func(ctx context.Context) error {
		for _, w := range ways {
			if _, err := ask(ctx, w.address, w.dial); err != nil {
				return fmt.Errorf("%s: %w", w.name, err)
			}
		}
		return nil
	})
	return ways
}

// via returns the address at which a pod connects to another address.
func via(pod, to string) string { return pod + "/from?to=" + url.QueryEscape(to) }

// count makes n connections and returns how many each server answered.
func (w way) count(t *testing.T, n int) map[string]int {
	t.Helper()
	answers := map[string]int{}
	for range n {
		server, err := w.once(t.Context())
		if err != nil {
			t.Errorf("%s: %v", w.name, err)
			return nil
		}
		answers[server]++
	}
	return answers
}

// once makes one connection. The kernel repeats a SYN after one second, so one packet
// that is lost makes a connection late; two make it fail.
func (w way) once(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	return ask(ctx, w.address, w.dial)
}

// load connects over each way all the time.
type load struct {
	cancel context.CancelFunc
	done   sync.WaitGroup
	mu     sync.Mutex
	total  int
	failed []string
}

func startLoad(t *testing.T, ways []way) *load {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	l := &load{cancel: cancel}
	for _, w := range ways {
		l.done.Go(func() {
			for ctx.Err() == nil {
				_, err := w.once(ctx)
				l.add(ctx, w, err)
				<-time.After(20 * time.Millisecond)
			}
		})
	}
	t.Cleanup(func() { cancel(); l.done.Wait() })
	return l
}

func (l *load) add(ctx context.Context, w way, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if ctx.Err() != nil {
		return // ended by the test
	}
	l.total++
	if err != nil {
		l.failed = append(l.failed, fmt.Sprintf("%s %s: %v", time.Now().Format(time.StampMilli), w.name, err))
	}
}

func (l *load) stop(t *testing.T) {
	t.Helper()
	l.cancel()
	l.done.Wait()
	t.Logf("%d connections, %d failed", l.total, len(l.failed))
	for _, f := range l.failed[:min(len(l.failed), 20)] {
		t.Error(f)
	}
	if l.total < 100 {
		t.Errorf("%d connections are too few to show anything", l.total)
	}
}
