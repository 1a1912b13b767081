// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package reach

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"fairlead/cmd/fairlead/podready"
	"fairlead/cmd/fairlead/reach/plan"
)

// start is the time within which a pod has to run and be ready.
const start = 90 * time.Second

// roles returns which of some roles a pod on the i-th node has. A measurement has one
// client, and needs no servers in the network of nodes.
func (t *test) roles(i int, all []role) (out []role) {
	for _, r := range all {
		if t.duration == 0 || !r.host && (!r.client || i == 0) {
			out = append(out, r)
		}
	}
	return out
}

// servers returns the number of servers.
func (t *test) servers() (n int) {
	for i := range t.world.Nodes {
		n += len(t.roles(i, serverRoles()))
	}
	return n
}

// createPods creates the pods of some roles on each node.
func (t *test) createPods(ctx context.Context, roles []role) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(16)
	for i := range t.world.Nodes {
		for _, r := range t.roles(i, roles) {
			g.Go(func() error {
				_, err := t.api.CoreV1().Pods(t.opts.Namespace).Create(ctx, t.pod(r, i), metav1.CreateOptions{})
				if err != nil {
					return fmt.Errorf("create pod on %s: %w", t.world.Nodes[i].Name, err)
				}
				return nil
			})
		}
	}
	return g.Wait()
}

// createServices creates the Services and learns their addresses.
func (t *test) createServices(ctx context.Context) error {
	var first *corev1.Service
	services := plan.Services(unusedAddrs())
	if t.duration > 0 {
		services = plan.PerfServices()
	}
	for _, s := range services {
		if first != nil {
			s.IPs = ofFamilies(s.IPs, first.Spec.IPFamilies)
		}
		made, err := t.api.CoreV1().Services(t.opts.Namespace).Create(ctx, service(&s), metav1.CreateOptions{})
		if err != nil && s.Kind == plan.ExternalIP && apierrors.IsForbidden(err) {
			s.Skip = "the API server does not admit externalIPs"
		} else if err != nil {
			return fmt.Errorf("create Service %s: %w", s.Name, err)
		}
		if s.Skip == "" {
			learn(&s, made)
			if first == nil {
				first = made
			}
			t.setBalancer(ctx, &s)
		}
		t.world.Services = append(t.world.Services, s)
	}
	return nil
}

func ofFamilies(list []netip.Addr, families []corev1.IPFamily) (out []netip.Addr) {
	for _, a := range list {
		for _, f := range families {
			if a.Is6() == (f == corev1.IPv6Protocol) {
				out = append(out, a)
			}
		}
	}
	return out
}

func learn(s *plan.Service, made *corev1.Service) {
	for _, text := range made.Spec.ClusterIPs {
		if ip, err := netip.ParseAddr(text); err == nil {
			s.ClusterIPs = append(s.ClusterIPs, ip)
		}
	}
	s.NodePort = uint16(made.Spec.Ports[0].NodePort) // the API server checks its range
}

// setBalancer does what the controller of a load balancer does: it gives the Service its
// addresses.
func (t *test) setBalancer(ctx context.Context, s *plan.Service) {
	if !s.Kind.IsBalancer() {
		return
	}
	var status corev1.ServiceStatus
	for _, ip := range s.IPs {
		status.LoadBalancer.Ingress = append(status.LoadBalancer.Ingress, corev1.LoadBalancerIngress{IP: ip.String()})
	}
	patch, err := json.Marshal(map[string]any{"status": status})
	if err == nil {
		_, err = t.api.CoreV1().Services(t.opts.Namespace).Patch(ctx, s.Name, types.MergePatchType, patch, metav1.PatchOptions{}, "status")
	}
	if err != nil {
		s.Skip = "the status of a Service cannot be set: " + err.Error()
	}
}

// awaitServers waits until the servers are ready, and learns the addresses of those in
// the pod network. One that does not become ready is a failure of the setup.
func (t *test) awaitServers(ctx context.Context) error {
	late := time.NewTimer(start)
	defer late.Stop()
	for {
		pods, err := t.api.CoreV1().Pods(t.opts.Namespace).List(ctx, metav1.ListOptions{LabelSelector: selector})
		if err != nil {
			return fmt.Errorf("wait for servers: %w", err)
		}
		waiting := map[string]string{}
		for i := range pods.Items {
			if p := &pods.Items[i]; !podready.Is(p) {
				waiting[p.Name] = whyNot(p)
			}
		}
		if len(waiting) == 0 && len(pods.Items) == t.servers() {
			t.learnPods(pods.Items, waiting)
			return nil
		}
		select {
		case <-late.C:
			t.giveUp(pods.Items, waiting)
			return nil
		default:
		}
		if err := pause(ctx); err != nil {
			if errors.Is(err, context.DeadlineExceeded) {
				t.giveUp(pods.Items, waiting)
			}
			return err
		}
	}
}

// giveUp reports the servers that are not ready, and goes on without them.
func (t *test) giveUp(pods []corev1.Pod, waiting map[string]string) {
	t.learnPods(pods, waiting)
	for i := range t.world.Nodes {
		for _, r := range t.roles(i, serverRoles()) {
			if why, ok := waiting[podName(r, i)]; ok {
				c := plan.Client{Node: t.world.Nodes[i].Name, Host: r.host}
				t.fail(c, "pod "+t.opts.Namespace+"/"+podName(r, i), "it is not ready: "+why)
			}
		}
	}
}

func (t *test) learnPods(pods []corev1.Pod, waiting map[string]string) {
	for i := range pods {
		p := &pods[i]
		if _, not := waiting[p.Name]; not || p.Labels[roleKey] != serverRoles()[0].name {
			continue
		}
		if n := t.nodeIndex(p.Spec.NodeName); n >= 0 {
			for _, ip := range p.Status.PodIPs {
				if a, err := netip.ParseAddr(ip.IP); err == nil {
					t.world.Nodes[n].Pod = append(t.world.Nodes[n].Pod, a)
				}
			}
		}
	}
}

// whyNot says in the kubelet's words why a pod does not run.
func whyNot(p *corev1.Pod) string {
	for i := range p.Status.ContainerStatuses {
		s := &p.Status.ContainerStatuses[i].State
		if s.Waiting != nil && s.Waiting.Reason != "" {
			return s.Waiting.Reason + ": " + s.Waiting.Message
		}
		if s.Terminated != nil {
			return s.Terminated.Reason + ": " + s.Terminated.Message
		}
		if s.Running != nil {
			return "the kubelet does not reach it, or it does not answer yet"
		}
	}
	if p.Status.Message != "" {
		return p.Status.Reason + ": " + p.Status.Message
	}
	return "the kubelet has not started it; its phase is " + string(p.Status.Phase)
}

// writeWorld gives the clients what they need to know.
func (t *test) writeWorld(ctx context.Context) error {
	b, err := json.Marshal(&t.world)
	if err != nil {
		return err
	}
	_, err = t.api.CoreV1().ConfigMaps(t.opts.Namespace).Create(ctx, &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: worldName, Labels: labels(nil)}, Data: map[string]string{worldFile: string(b)},
	}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("write the plan: %w; with many nodes, name some with --nodes", err)
	}
	return nil
}

// follow reads the log of a client from its start to its end, and reports a client that
// does not end.
func (t *test) follow(ctx context.Context, r role, i int) {
	name, seen := podName(r, i), 0
	late := time.NewTimer(start)
	defer late.Stop()
	for {
		n := 0
		err := t.readLog(ctx, name, func(m message) {
			if n++; n > seen { // a log that broke off is read again from its start
				seen = n
				late.Reset(start)
				t.note(m)
			}
		})
		if err == nil || ctx.Err() != nil {
			return
		}
		select {
		case <-late.C:
			why := err.Error()
			if p, err := t.api.CoreV1().Pods(t.opts.Namespace).Get(ctx, name, metav1.GetOptions{}); err == nil && seen == 0 {
				why = whyNot(p)
			}
			t.fail(plan.Client{Node: t.world.Nodes[i].Name, Host: r.host}, "pod "+t.opts.Namespace+"/"+name, "its log does not come: "+why)
			return
		default:
		}
		if pause(ctx) != nil {
			return
		}
	}
}

func (t *test) readLog(ctx context.Context, name string, each func(message)) error {
	log, err := t.api.CoreV1().Pods(t.opts.Namespace).GetLogs(name, &corev1.PodLogOptions{Follow: true}).Stream(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	return read(io.LimitReader(log, maxLog), each)
}

// maxLog bounds the log of a client, in bytes.
const maxLog = 64 << 20
