// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package source

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	k8stesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"

	"fairlead/proxier/objects"
	"fairlead/proxier/proxiertest"
	"fairlead/proxier/store"
)

// TestRunAPI follows objects of an API server through the informers.
func TestRunAPI(t *testing.T) {
	port := int32(8080)
	name := "http"
	client := fake.NewClientset(
		&corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web"},
			Spec:       corev1.ServiceSpec{ClusterIP: "10.96.0.10", Ports: []corev1.ServicePort{{Name: name, Port: 80}}},
		},
		&discoveryv1.EndpointSlice{
			ObjectMeta:  metav1.ObjectMeta{Namespace: "default", Name: "web-1", Labels: map[string]string{discoveryv1.LabelServiceName: "web"}},
			AddressType: discoveryv1.AddressTypeIPv4,
			Ports:       []discoveryv1.EndpointPort{{Name: &name, Port: &port}},
			Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{"10.244.0.1"}}, {Addresses: []string{"nonsense"}}},
		},
		&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node-a"}},
		&networkingv1.ServiceCIDR{ObjectMeta: metav1.ObjectMeta{Name: "kubernetes"}, Spec: networkingv1.ServiceCIDRSpec{CIDRs: []string{"10.96.0.0/16"}}},
	)
	st := store.New()
	ExpectAPI(st)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- RunAPI(ctx, client, "node-a", st) }()

	web := types.NamespacedName{Namespace: "default", Name: "web"}
	proxiertest.Eventually(t, "first lists", st.Synced)
	if st.Service(web) == nil || len(st.Slices(web)) != 1 || st.Node("node-a") == nil || len(st.ServiceCIDRs()) != 1 {
		t.Fatal("an object is missing after the first lists")
	}
	if got := len(st.Slices(web)[0].Endpoints); got != 1 {
		t.Errorf("%d endpoints, want the valid one", got)
	}
	if ps := st.Book().Problems(); len(ps) != 1 || ps[0].Field != "endpoints[1].addresses[0]" {
		t.Errorf("problems %v, want one about endpoints[1]", ps)
	}

	svc, err := client.CoreV1().Services("default").Get(ctx, "web", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	svc.Spec.Ports[0].Port = 81
	if _, err := client.CoreV1().Services("default").Update(ctx, svc, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	proxiertest.Eventually(t, "updated Service", func() bool { return st.Service(web).Ports[0].Port == 81 })
	if err := client.DiscoveryV1().EndpointSlices("default").Delete(ctx, "web-1", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	proxiertest.Eventually(t, "deleted slice", func() bool { return len(st.Slices(web)) == 0 && len(st.Book().Problems()) == 0 })
	cancel()
	if err := <-done; err != nil {
		t.Errorf("RunAPI: %v", err)
	}
}

// TestRunAPISelectors checks that the server does not send objects for other proxies.
func TestRunAPISelectors(t *testing.T) {
	client := fake.NewClientset()
	var mu sync.Mutex
	got := map[string]string{}
	client.PrependReactor("list", "*", func(action k8stesting.Action) (bool, runtime.Object, error) {
		mu.Lock()
		defer mu.Unlock()
		list := action.(k8stesting.ListAction)
		only := list.GetListRestrictions()
		got[list.GetResource().Resource] = only.Labels.String() + only.Fields.String()
		return false, nil, nil
	})
	startAPI(t, client)
	want := map[string]string{
		"services": "!service.kubernetes.io/service-proxy-name", "endpointslices": "!service.kubernetes.io/headless",
		"nodes": "", "servicecidrs": "", "pods": "spec.nodeName=node-a",
	}
	mu.Lock()
	defer mu.Unlock()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("selectors (-want +got):\n%s", diff)
	}
}

// TestRunAPIWithout: a server that is older, or does not let us read everything,
// still has its Services served.
func TestRunAPIWithout(t *testing.T) {
	cidrs := schema.GroupResource{Group: "networking.k8s.io", Resource: "servicecidrs"}
	pods := schema.GroupResource{Resource: "pods"}
	for _, tt := range []struct {
		name, kind string
		err        error
	}{
		{"ServiceCIDRs absent", "servicecidrs", apierrors.NewNotFound(cidrs, "")},
		{"ServiceCIDRs forbidden", "servicecidrs", apierrors.NewForbidden(cidrs, "", errors.New("no role"))},
		{"Pods forbidden", "pods", apierrors.NewForbidden(pods, "", errors.New("no role"))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client := fake.NewClientset(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node-a"}})
			client.PrependReactor("list", tt.kind, func(k8stesting.Action) (bool, runtime.Object, error) { return true, nil, tt.err })
			if st := startAPI(t, client); st.Node("node-a") == nil {
				t.Error("the Node is missing")
			}
		})
	}
}

// TestRunAPIForbiddenAtFirst: an API server that has just started forbids what
// it allows a second later.
func TestRunAPIForbiddenAtFirst(t *testing.T) {
	client := fake.NewClientset(&networkingv1.ServiceCIDR{ObjectMeta: metav1.ObjectMeta{Name: "kubernetes"}, Spec: networkingv1.ServiceCIDRSpec{CIDRs: []string{"10.96.0.0/16"}}})
	gr := schema.GroupResource{Group: "networking.k8s.io", Resource: "servicecidrs"}
	var once sync.Once
	client.PrependReactor("list", "servicecidrs", func(k8stesting.Action) (refuse bool, _ runtime.Object, err error) {
		once.Do(func() { refuse, err = true, apierrors.NewForbidden(gr, "", errors.New("roles are not read yet")) })
		return refuse, nil, err
	})
	st := startAPI(t, client)
	proxiertest.Eventually(t, "the ServiceCIDR", func() bool { return len(st.ServiceCIDRs()) == 1 })
}

// startAPI runs RunAPI until the test ends and waits for the first lists.
func startAPI(t *testing.T, client Client) *store.Store {
	t.Helper()
	st := store.New()
	ExpectAPI(st)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- RunAPI(ctx, client, "node-a", st) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("RunAPI: %v", err)
		}
	})
	proxiertest.Eventually(t, "first lists", st.Synced)
	return st
}

// TestMirrorReplace checks that a list after a gap removes all other objects at once.
func TestMirrorReplace(t *testing.T) {
	node := func(name, zone string) *corev1.Node {
		return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelTopologyZone: zone}}}
	}
	st := store.New()
	st.Update(func(tx *store.Tx) { tx.SetNode(&objects.Node{Name: "of-another-source"}) })
	m := &mirror{source: sourceNodes, store: st}
	zones := func() string {
		var out []string
		for _, n := range st.Nodes() {
			out = append(out, n.Name+"="+n.Zone)
		}
		return strings.Join(out, " ")
	}
	for _, step := range []struct {
		do   func() error
		want string
	}{
		{func() error { return m.Replace([]any{node("a", "1"), node("b", "1"), node("c", "1")}, "1") }, "a=1 b=1 c=1 of-another-source="},
		{func() error { return m.Update(node("b", "2")) }, "a=1 b=2 c=1 of-another-source="},
		{func() error { return m.Add(node("d", "1")) }, "a=1 b=2 c=1 d=1 of-another-source="},
		{func() error { return m.Delete(node("c", "1")) }, "a=1 b=2 d=1 of-another-source="},
		{func() error {
			list := []any{node("a", "1"), node("e", "1")}
			for i := range list {
				var err error
				if list[i], err = m.Transformer()(list[i]); err != nil {
					return err
				}
			}
			return m.Replace(list, "2")
		}, "a=1 e=1 of-another-source="},
		{func() error { return m.Replace(nil, "3") }, "of-another-source="},
	} {
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		if got := zones(); got != step.want {
			t.Errorf("got %s, want %s", got, step.want)
		}
	}
	if err := m.Add(&corev1.Secret{}); err == nil {
		t.Error("a Secret is accepted")
	}
}

// TestHeard: a list, each event and each bookmark count as signs of life of a watch.
func TestHeard(t *testing.T) {
	st := store.New()
	var m cache.ReflectorBookmarkStore = &mirror{source: sourceNodes, store: st}
	if len(st.LastHeard()) != 0 {
		t.Errorf("heard before anything: %v", st.LastHeard())
	}
	node := func(revision string) *corev1.Node {
		return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "a", ResourceVersion: revision}}
	}
	steps := map[string]func() error{
		"list":     func() error { return m.(*mirror).Replace(nil, "list") },
		"event":    func() error { return m.(*mirror).Add(node("event")) },
		"removal":  func() error { return m.(*mirror).Delete(node("removal")) },
		"bookmark": func() error { return m.Bookmark("bookmark") },
	}
	for name, step := range steps {
		before := st.LastHeard()[sourceNodes].At
		if err := step(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := st.LastHeard()[sourceNodes]; !got.At.After(before) || got.Revision != name {
			t.Errorf("a %s is no sign of life, or its revision is not known: %+v", name, got)
		}
	}
	if err := m.(*mirror).Add(node("")); err != nil || st.LastHeard()[sourceNodes].Revision == "" {
		t.Errorf("an event without a revision takes away the one that was known: %v", err)
	}
}
