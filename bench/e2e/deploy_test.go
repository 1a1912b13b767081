// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"path/filepath"
	"slices"
	"testing"

	"fairlead/bench/controlplane"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
)

// The manifests that deploy/ ships: the agent in place of kube-proxy and
// flannel, as it runs in these tests, and in place of kube-proxy alone.
const (
	withNetwork = "network"
	proxyOnly   = "proxy"
)

// documents returns the objects of a manifest.
func documents(t *testing.T, manifest string) []*unstructured.Unstructured {
	t.Helper()
	docs, err := controlplane.Documents(filepath.Join("..", "..", "deploy", "kustomize", manifest, "fairlead.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return docs
}

// manifests has the API server judge what deploy/ ships, without keeping it.
func manifests(t *testing.T, r *run) {
	t.Helper()
	cfg := rest.CopyConfig(r.plane.Admin())
	cfg.WarningHandler = warnings{t}
	docs := slices.Concat(documents(t, withNetwork), documents(t, proxyOnly))
	if err := controlplane.Apply(t.Context(), cfg, docs, metav1.DryRunAll); err != nil {
		t.Error(err)
	}
}

// warnings fails the test for what the API server only warns of, such as
// deprecated fields.
type warnings struct{ t *testing.T }

// HandleWarningHeader implements rest.WarningHandler.
func (w warnings) HandleWarningHeader(_ int, _ string, text string) {
	w.t.Errorf("the API server warns: %s", text)
}

// typed refuses fields that the kind does not have.
func typed(t *testing.T, doc *unstructured.Unstructured) runtime.Object {
	t.Helper()
	object, err := scheme.Scheme.New(doc.GroupVersionKind())
	if err == nil {
		err = runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(doc.Object, object, true)
	}
	if err != nil {
		t.Fatalf("%s %s: %v", doc.GetKind(), doc.GetName(), err)
	}
	return object
}

// install writes the service account and role that the agent runs under, and
// returns the role's rules.
func (c *cluster) install(t *testing.T) []rbacv1.PolicyRule {
	t.Helper()
	for _, doc := range documents(t, withNetwork) {
		var err error
		switch o := typed(t, doc).(type) {
		case *corev1.ServiceAccount:
			_, err = c.api.CoreV1().ServiceAccounts(o.Namespace).Create(t.Context(), o, metav1.CreateOptions{})
		case *rbacv1.ClusterRole:
			_, err = c.api.RbacV1().ClusterRoles().Create(t.Context(), o, metav1.CreateOptions{})
		case *rbacv1.ClusterRoleBinding:
			_, err = c.api.RbacV1().ClusterRoleBindings().Create(t.Context(), o, metav1.CreateOptions{})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	rules := roleRules(t, withNetwork)
	if diff := cmp.Diff(rules, roleRules(t, proxyOnly)); diff != "" {
		t.Errorf("%s has another role (-%s +%s):\n%s", proxyOnly, withNetwork, proxyOnly, diff)
	}
	return rules
}

func roleRules(t *testing.T, manifest string) (rules []rbacv1.PolicyRule) {
	t.Helper()
	for _, doc := range documents(t, manifest) {
		switch o := typed(t, doc).(type) {
		case *rbacv1.ClusterRole:
			rules = append(rules, o.Rules...)
		case *rbacv1.Role:
			t.Errorf("%s has Role %s, which this test does not know", manifest, o.Name)
		}
	}
	return rules
}
