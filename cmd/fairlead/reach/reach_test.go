// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package reach

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"fairlead/cmd/fairlead/reach/plan"
)

func newTest(api *fake.Clientset) *test {
	return &test{api: api, stale: 50 * time.Millisecond, opts: Options{
		Namespace: DefaultNamespace, Image: "localhost/fairlead:1", HostPort: 18471, PodHostPort: 18472, Timeout: time.Minute,
	}}
}

// objects returns what a test leaves when it is killed, in a namespace of its own or not,
// and something that is not its own.
func objects(own bool) []runtime.Object {
	space := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: DefaultNamespace}}
	if own {
		space.Labels = labels(nil)
	}
	meta := func(name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: DefaultNamespace, Name: name, Labels: labels(nil)}
	}
	other := metav1.ObjectMeta{Namespace: DefaultNamespace, Name: "other"}
	return []runtime.Object{
		space,
		&corev1.ConfigMap{ObjectMeta: meta(claimName)}, &corev1.ConfigMap{ObjectMeta: meta(worldName)},
		&corev1.Pod{ObjectMeta: meta("fairlead-test-server-0")}, &corev1.Service{ObjectMeta: meta("fairlead-test-cluster")},
		&corev1.Pod{ObjectMeta: other}, &corev1.Service{ObjectMeta: other}, &corev1.ConfigMap{ObjectMeta: other},
	}
}

// left lists what is in the namespace.
func left(t *testing.T, api *fake.Clientset) string {
	t.Helper()
	var names []string
	core, ctx, all := api.CoreV1(), t.Context(), metav1.ListOptions{}
	pods, err1 := core.Pods(DefaultNamespace).List(ctx, all)
	services, err2 := core.Services(DefaultNamespace).List(ctx, all)
	maps, err3 := core.ConfigMaps(DefaultNamespace).List(ctx, all)
	spaces, err4 := core.Namespaces().List(ctx, all)
	if err1 != nil || err2 != nil || err3 != nil || err4 != nil {
		t.Fatal(err1, err2, err3, err4)
	}
	for _, o := range pods.Items {
		names = append(names, "pod "+o.Name)
	}
	for _, o := range services.Items {
		names = append(names, "service "+o.Name)
	}
	for _, o := range maps.Items {
		names = append(names, "map "+o.Name)
	}
	for _, o := range spaces.Items {
		names = append(names, "namespace "+o.Name)
	}
	return strings.Join(names, ", ")
}

const (
	others = "pod other, service other, map other"
	begun  = "pod other, service other, map " + claimName + ", map other, namespace " + DefaultNamespace
)

// TestClaim: what a killed test left is found and removed, and nothing else; the namespace
// goes at the end if a test made it. The end of the context does not stop the removal.
func TestClaim(t *testing.T) {
	for _, tt := range []struct {
		name        string
		have        []runtime.Object
		begins, end string
	}{
		{"nothing", nil, "map " + claimName + ", namespace " + DefaultNamespace, ""},
		{"left by a killed test", objects(true), begun, others},
		{"of somebody else", objects(false), begun, others + ", namespace " + DefaultNamespace},
	} {
		api := fake.NewClientset(tt.have...)
		x := newTest(api)
		ctx, cancel := context.WithCancel(t.Context())
		if err := x.claim(ctx); err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if got := left(t, api); got != tt.begins {
			t.Errorf("%s: begins with %s, want %s", tt.name, got, tt.begins)
		}
		cancel()
		if err := x.remove(ctx); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if got := left(t, api); got != tt.end {
			t.Errorf("%s: leaves %s, want %s", tt.name, got, tt.end)
		}
	}
}

// TestClaimed: a test that still runs keeps its objects, and the second one ends.
func TestClaimed(t *testing.T) {
	api := fake.NewClientset(objects(true)...)
	n := 0
	api.PrependReactor("get", "configmaps", func(clienttesting.Action) (bool, runtime.Object, error) {
		n++ // it is written again and again
		return true, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: claimName, ResourceVersion: fmt.Sprint(n)}}, nil
	})
	x := newTest(api)
	before := left(t, api)
	if err := x.claim(t.Context()); err == nil || !strings.Contains(err.Error(), "another test runs in namespace fairlead-test") {
		t.Errorf("the second test: %v", err)
	}
	if err := x.remove(t.Context()); err != nil || left(t, api) != before {
		t.Errorf("%v; it leaves %s", err, left(t, api))
	}
}

// TestForbidden: each right that is missing is named.
func TestForbidden(t *testing.T) {
	for resource, want := range map[string]string{"namespaces": "namespaces", "configmaps": "configmaps", "services": "services", "pods": "pods"} {
		api := fake.NewClientset()
		api.PrependReactor("*", resource, func(a clienttesting.Action) (bool, runtime.Object, error) {
			return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: resource}, "x", fmt.Errorf("no right to %s", a.GetVerb()))
		})
		if err := newTest(api).claim(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("without rights to %s: %v", resource, err)
		}
	}
}

// TestPods: pods have no rights, and end by themselves.
func TestPods(t *testing.T) {
	x := newTest(fake.NewClientset())
	x.world = plan.World{Nodes: []plan.Node{{Name: "a"}, {Name: "b"}}}
	for _, r := range append(serverRoles(), clientRoles()...) {
		p := x.pod(r, 1).Spec
		c := p.Containers[0]
		if ports := len(c.Ports); ports > 0 != (r.name == "server") || ports > 0 && (c.Ports[1].HostPort != 18472 || c.Ports[1].Protocol != corev1.ProtocolUDP || c.Ports[1].ContainerPort != plan.PodPort) {
			t.Errorf("%s has the ports %+v", r.name, c.Ports)
		}
		if p.NodeName != "b" || p.HostNetwork != r.host || *p.AutomountServiceAccountToken || p.RestartPolicy != corev1.RestartPolicyNever || *p.ActiveDeadlineSeconds != 120 {
			t.Errorf("%s: %+v", r.name, p)
		}
		s := c.SecurityContext
		if !*s.RunAsNonRoot || *s.AllowPrivilegeEscalation || !*s.ReadOnlyRootFilesystem || s.Capabilities.Drop[0] != "ALL" || c.Resources.Limits.Memory().IsZero() {
			t.Errorf("%s: %+v", r.name, c)
		}
	}
}

// TestRead: a log that breaks off or says something else is no success.
func TestRead(t *testing.T) {
	for text, want := range map[string]string{
		`{"checks":1}` + "\n" + `{"result":{"kind":"pod","passed":true}}` + "\n" + `{"done":true}` + "\n": "",
		`{"checks":1}` + "\n":          "unexpected EOF",
		"panic: x\n":                   `it says "panic: x"`,
		strings.Repeat("x", 2*maxLine): "bufio.Scanner: token too long",
	} {
		n := 0
		err := read(strings.NewReader(text), func(message) { n++ })
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) || err == nil && n != 2 {
			t.Errorf("%.40q: %v, %d messages", text, err, n)
		}
	}
}

func TestValidateOptions(t *testing.T) {
	for _, tt := range []struct {
		change func(*Options)
		want   string
	}{
		{func(*Options) {}, ""},
		{func(o *Options) { o.Namespace = "A/b" }, `--namespace: "A/b": `},
		{func(o *Options) { o.HostPort = 0 }, "--host-port: 0 is no port"},
		{func(o *Options) { o.PodHostPort = o.HostPort }, "--pod-host-port: 18471 is that of --host-port"},
		{func(o *Options) { o.Peers = -1 }, "--peers: -1 is less than 0"},
		{func(o *Options) { o.Timeout = 1 }, "--timeout: 1ns is less than a second"},
		{func(o *Options) { o.Egress = []string{"example.com"} }, `--egress: "example.com" is not HOST:PORT`},
	} {
		o := newTest(nil).opts
		tt.change(&o)
		if err := o.Validate(); (err == nil) != (tt.want == "") || err != nil && !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%v, want %q", err, tt.want)
		}
	}
}
