// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
)

// shipped returns the objects of deploy/fairlead.yaml; deploy/fairlead-network.yaml
// has the same account and role.
func shipped(t *testing.T) (out []runtime.Object) {
	t.Helper()
	for _, doc := range documents(t, "fairlead.yaml") {
		out = append(out, typed(t, doc))
	}
	return out
}

// documents returns those of the files in deploy/ of that name.
func documents(t *testing.T, name string) (out []*unstructured.Unstructured) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "..", "deploy", name))
	if err != nil || len(files) == 0 {
		t.Fatalf("no manifests in deploy/: %v", err)
	}
	for _, file := range files {
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = f.Close() }()
		for in := utilyaml.NewYAMLOrJSONDecoder(f, 4096); ; {
			var doc unstructured.Unstructured
			err := in.Decode(&doc)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			if len(doc.Object) > 0 { // else comments alone
				out = append(out, &doc)
			}
		}
	}
	return out
}

// manifests has the API server judge what deploy/ ships, without keeping it.
func manifests(t *testing.T, r *run) {
	cfg := rest.CopyConfig(r.plane.Admin())
	cfg.WarningHandler = warnings{t}
	client, err := dynamic.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	groups, err := restmapper.GetAPIGroupResources(r.api.Discovery())
	if err != nil {
		t.Fatal(err)
	}
	mapper := restmapper.NewDiscoveryRESTMapper(groups)
	options := metav1.ApplyOptions{DryRun: []string{metav1.DryRunAll}, FieldManager: "e2e", Force: true}
	for _, doc := range documents(t, "*.yaml") {
		gvk := doc.GroupVersionKind()
		m, err := mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
		if err != nil {
			t.Errorf("%s %s: %v", doc.GetKind(), doc.GetName(), err)
			continue
		}
		if _, err := client.Resource(m.Resource).Namespace(doc.GetNamespace()).Apply(t.Context(), doc.GetName(), doc, options); err != nil {
			t.Errorf("%s %s: %v", doc.GetKind(), doc.GetName(), err)
		}
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
func (c *cluster) install(t *testing.T) (rules []rbacv1.PolicyRule) {
	t.Helper()
	accounts, bindings := 0, 0
	for _, object := range shipped(t) {
		var err error
		switch o := object.(type) {
		case *corev1.ServiceAccount:
			accounts++
			_, err = c.api.CoreV1().ServiceAccounts(o.Namespace).Create(t.Context(), o, metav1.CreateOptions{})
		case *rbacv1.ClusterRole:
			rules = append(rules, o.Rules...)
			_, err = c.api.RbacV1().ClusterRoles().Create(t.Context(), o, metav1.CreateOptions{})
		case *rbacv1.ClusterRoleBinding:
			bindings++
			_, err = c.api.RbacV1().ClusterRoleBindings().Create(t.Context(), o, metav1.CreateOptions{})
		}
		if err != nil && !apierrors.IsAlreadyExists(err) {
			t.Fatal(err)
		}
	}
	if accounts != 1 || bindings != 1 || len(rules) == 0 {
		t.Fatalf("deploy/ has %d service accounts, %d bindings and %d rules", accounts, bindings, len(rules))
	}
	return rules
}
