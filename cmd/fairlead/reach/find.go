// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package reach

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fairlead/cmd/fairlead/reach/plan"
)

// agentLabels select the agents' pods.
const agentLabels = "app.kubernetes.io/name=fairlead"

// find learns nodes, agents and the image.
func (t *test) find(ctx context.Context) error {
	nodes, err := t.api.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list nodes: %w", err)
	}
	t.world = plan.World{Namespace: t.opts.Namespace, HostPort: t.opts.HostPort, PodHostPort: t.opts.PodHostPort, Peers: t.opts.Peers, Egress: t.opts.Egress, Names: true}
	for i := range nodes.Items {
		n := &nodes.Items[i]
		if t.takesPart(n) {
			t.world.Nodes = append(t.world.Nodes, plan.Node{Name: n.Name, Addrs: internalIPs(n)})
		}
	}
	for _, name := range t.opts.Nodes {
		if t.nodeIndex(name) < 0 {
			return fmt.Errorf("--nodes: %s is not a node that is ready and runs Linux", name)
		}
	}
	if len(t.world.Nodes) == 0 {
		return errors.New("no node is ready")
	}
	slices.SortFunc(t.world.Nodes, func(a, b plan.Node) int { return strings.Compare(a.Name, b.Name) })
	if t.duration > 0 {
		t.world.Nodes, t.world.Duration = t.world.Nodes[:min(2, len(t.world.Nodes))], t.duration
	}
	return t.findAgents(ctx)
}

func (t *test) takesPart(n *corev1.Node) bool {
	if len(t.opts.Nodes) > 0 && !slices.Contains(t.opts.Nodes, n.Name) {
		return false
	}
	if os := n.Labels[corev1.LabelOSStable]; os != "" && os != "linux" {
		return false
	}
	ready := slices.ContainsFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	})
	if !ready && t.opts.Nodes == nil {
		t.say("Leaving out node %s, which is not ready", n.Name)
	}
	return ready
}

func internalIPs(n *corev1.Node) (out []netip.Addr) {
	for _, a := range n.Status.Addresses {
		if ip, err := netip.ParseAddr(a.Address); err == nil && a.Type == corev1.NodeInternalIP {
			out = append(out, ip)
		}
	}
	return out
}

// findAgents learns the agents' pods, whose image the test uses unless it was told one.
func (t *test) findAgents(ctx context.Context) error {
	pods, err := t.api.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{LabelSelector: agentLabels})
	if err != nil {
		if t.opts.Image != "" {
			return nil // it only makes failures easier to follow
		}
		return fmt.Errorf("find the image of fairlead: %w; set --image", err)
	}
	t.agents = map[string]string{}
	for i := range pods.Items {
		p := &pods.Items[i]
		for j := range p.Spec.Containers {
			if c := &p.Spec.Containers[j]; c.Name == "fairlead" {
				t.agents[p.Spec.NodeName] = p.Namespace + " " + p.Name
				if t.opts.Image == "" {
					t.opts.Image = c.Image
				}
			}
		}
	}
	if t.opts.Image == "" {
		return fmt.Errorf("find the image of fairlead: no pod has the label %s; set --image", agentLabels)
	}
	return nil
}
