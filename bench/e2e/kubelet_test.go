// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"fairlead/internal/inet"
	"fairlead/internal/lab"
)

const (
	namespace   = "default"
	servicePort = 80
	podPort     = 8080
)

// pod is a Pod object and the namespace that it stands for.
type pod struct {
	*lab.Pod
	server *lab.Server
}

// runPod does the scheduler's and the kubelet's part: a pod of app runs on node
// and is ready.
func (c *cluster) runPod(t *testing.T, node *lab.Node, name, app string) *pod {
	t.Helper()
	p := &pod{}
	var err error
	if p.Pod, err = node.AddPod(name); err != nil {
		t.Fatal(err)
	}
	if p.server, err = p.Serve(inet.TCP, podPort); err != nil {
		t.Fatal(err)
	}
	object := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace, Labels: map[string]string{"app": app}},
		Spec: corev1.PodSpec{
			NodeName:                     node.Name,
			AutomountServiceAccountToken: new(false),
			Containers:                   []corev1.Container{{Name: "server", Image: "lab"}},
		},
	}
	// Pods need the namespace's service account, which a controller makes.
	eventually(t, "create pod "+name, func(ctx context.Context) error {
		_, err := c.api.CoreV1().Pods(namespace).Create(ctx, object, metav1.CreateOptions{})
		return err
	})
	object.Status = runningStatus(p.Host)
	if _, err = c.api.CoreV1().Pods(namespace).UpdateStatus(t.Context(), object, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	return p
}

func runningStatus(h *lab.Host) corev1.PodStatus {
	s := corev1.PodStatus{
		Phase: corev1.PodRunning, PodIP: h.Addr4.String(), StartTime: new(metav1.Now()),
		Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
	}
	for _, ip := range h.Addrs() {
		s.PodIPs = append(s.PodIPs, corev1.PodIP{IP: ip.String()})
	}
	return s
}

// evict asks a pod to end; it terminates, and serves, until remove.
func (c *cluster) evict(t *testing.T, p *pod) {
	t.Helper()
	if err := c.api.CoreV1().Pods(namespace).Delete(t.Context(), p.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
}

// remove ends a pod for good.
func (c *cluster) remove(t *testing.T, p *pod) {
	t.Helper()
	now := metav1.DeleteOptions{GracePeriodSeconds: new(int64)}
	if err := c.api.CoreV1().Pods(namespace).Delete(t.Context(), p.Name, now); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
}

// expose makes a dual-stack Service, with a NodePort, of the pods of app.
func (c *cluster) expose(t *testing.T, name, app string) *corev1.Service {
	t.Helper()
	s, err := c.api.CoreV1().Services(namespace).Create(t.Context(), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeNodePort, IPFamilyPolicy: new(corev1.IPFamilyPolicyRequireDualStack),
			Selector: map[string]string{"app": app},
			Ports:    []corev1.ServicePort{{Name: "http", Port: servicePort, TargetPort: intstr.FromInt32(podPort)}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// awaitSlices waits until the controller has put all pods of a Service into
// slices of both families.
func (c *cluster) awaitSlices(t *testing.T, service string, pods int) {
	t.Helper()
	only := metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=" + service}
	eventually(t, "slices of "+service, func(ctx context.Context) error {
		list, err := c.api.DiscoveryV1().EndpointSlices(namespace).List(ctx, only)
		if err != nil {
			return err
		}
		n := 0
		for _, s := range list.Items {
			n += len(s.Endpoints)
		}
		if n != 2*pods {
			return fmt.Errorf("they have %d endpoints", n)
		}
		return nil
	})
}
