// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"context"
	"maps"
	"path/filepath"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"sigs.k8s.io/yaml"

	"fairlead/deploy/tools/internal/chart"
)

const namespace = "kube-system"

func render(t *testing.T, values map[string]any) []*unstructured.Unstructured {
	t.Helper()
	c, err := chart.Load("../../chart")
	if err != nil {
		t.Fatal(err)
	}
	text, err := c.Render(values, chart.Release{Namespace: namespace})
	if err != nil {
		t.Fatal(err)
	}
	var out []*unstructured.Unstructured
	for doc := range strings.SplitSeq(strings.TrimPrefix(string(text), "---\n"), "\n---\n") {
		o := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(doc), &o.Object); err != nil {
			t.Fatal(err)
		}
		out = append(out, o)
	}
	return out
}

// applier applies objects, for real or not, and fails the test for warnings, too.
type applier struct {
	client *dynamic.DynamicClient
	mapper meta.RESTMapper
}

func newApplier(t *testing.T, cfg *rest.Config) *applier {
	t.Helper()
	cfg = rest.CopyConfig(cfg)
	cfg.WarningHandler = warnings{t}
	groups, err := restmapper.GetAPIGroupResources(kubernetes.NewForConfigOrDie(cfg).Discovery())
	if err != nil {
		t.Fatal(err)
	}
	return &applier{dynamic.NewForConfigOrDie(cfg), restmapper.NewDiscoveryRESTMapper(groups)}
}

type warnings struct{ t *testing.T }

// HandleWarningHeader implements rest.WarningHandler.
func (w warnings) HandleWarningHeader(_ int, _ string, text string) {
	w.t.Errorf("the API server warns: %s", text)
}

func (a *applier) apply(t *testing.T, o *unstructured.Unstructured, dryRun ...string) {
	t.Helper()
	gvk := o.GroupVersionKind()
	m, err := a.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		t.Errorf("%s %s: %v", o.GetKind(), o.GetName(), err)
		return
	}
	options := metav1.ApplyOptions{DryRun: dryRun, FieldManager: "test", Force: true}
	if _, err := a.client.Resource(m.Resource).Namespace(o.GetNamespace()).Apply(t.Context(), o.GetName(), o, options); err != nil {
		t.Errorf("%s %s: %v", o.GetKind(), o.GetName(), err)
	}
}

// TestServers does everything with each version.
func TestServers(t *testing.T) {
	for _, dir := range servers(t) {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			cfg := start(t, dir)
			version, err := kubernetes.NewForConfigOrDie(cfg).Discovery().ServerVersion()
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("API server %s", version.GitVersion)
			t.Run("dry run", func(t *testing.T) { dryRun(t, cfg) })
			t.Run("node status", func(t *testing.T) { nodeStatus(t, cfg) })
		})
	}
}

// dryRun has the API server judge each preset, as kube-proxy alone and with the
// network, and options that add kinds, without keeping anything.
func dryRun(t *testing.T, cfg *rest.Config) {
	t.Helper()
	a := newApplier(t, cfg)
	files, err := filepath.Glob("../../chart/presets/*.yaml")
	if err != nil || len(files) != 7 {
		t.Fatalf("presets: %q, %v", files, err)
	}
	network := map[string]any{"Network": "10.244.0.0/16", "Backend": map[string]any{"Type": "vxlan"}}
	for _, f := range files {
		preset := strings.TrimSuffix(filepath.Base(f), ".yaml")
		for name, more := range map[string]map[string]any{
			"proxy":   {},
			"network": {"network": network},
			"more": {"network": network, "flannelCompat": true, "announceUnderlay": true, "setNodeNetworkAvailable": true, "sysctls": "init", "seccomp": map[string]any{"type": "Localhost"},
				"priorityClass": map[string]any{"create": true}, "appArmorProfile": map[string]any{"type": "RuntimeDefault"}, "seLinuxOptions": map[string]any{"type": "spc_t"},
				"metrics": map[string]any{"listen": "node", "dashboard": map[string]any{"enabled": true},
					"networkPolicy": map[string]any{"enabled": true, "from": []any{map[string]any{"podSelector": map[string]any{}}}}}},
		} {
			t.Run(preset+" "+name, func(t *testing.T) {
				values := map[string]any{"preset": preset, "image": map[string]any{"repository": "registry.example/fairlead"}, "apiServer": map[string]any{"host": "192.0.2.1"}}
				maps.Copy(values, more)
				for _, o := range render(t, values) {
					a.apply(t, o, metav1.DryRunAll)
				}
			})
		}
	}
}

// nodeStatus installs the policy, and tries to patch as an agent on node a does.
func nodeStatus(t *testing.T, cfg *rest.Config) {
	t.Helper()
	a := newApplier(t, cfg)
	values := map[string]any{"image": map[string]any{"repository": "registry.example/fairlead"}, "flannelCompat": true,
		"network": map[string]any{"Network": "10.244.0.0/16", "Backend": map[string]any{"Type": "vxlan"}}}
	for _, o := range render(t, values) {
		a.apply(t, o)
	}
	admin := kubernetes.NewForConfigOrDie(cfg)
	for _, name := range []string{"a", "b"} {
		node := &corev1.Node{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"zone": "z"}, Annotations: map[string]string{"other": "o"}},
			Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "192.0.2.1"}},
				VolumesInUse: []corev1.UniqueVolumeName{"v"},
				Conditions:   []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}, {Type: corev1.NodeNetworkUnavailable, Status: corev1.ConditionTrue}}},
		}
		if _, err := admin.CoreV1().Nodes().Create(t.Context(), node, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		if _, err := admin.CoreV1().Nodes().UpdateStatus(t.Context(), node, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	agent := kubernetes.NewForConfigOrDie(asAgent(t, cfg, "a"))
	unbound := kubernetes.NewForConfigOrDie(asAgent(t, cfg, ""))
	patch := func(ctx context.Context, c *kubernetes.Clientset, node, body string) error {
		_, err := c.CoreV1().Nodes().Patch(ctx, node, types.StrategicMergePatchType, []byte(body), metav1.PatchOptions{}, "status")
		return err
	}
	// The API server compiles a new policy in the background.
	const foreign = `{"metadata":{"annotations":{"x":"y"}}}`
	err := wait.PollUntilContextTimeout(t.Context(), 200*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		return patch(ctx, agent, "b", foreign) != nil, nil
	})
	if err != nil {
		t.Fatalf("the policy has no effect: %v", err)
	}
	for _, tt := range []struct {
		name, node, body, want string // want: part of the error, empty for none
		client                 *kubernetes.Clientset
	}{
		{"flannel's annotations", "a", `{"metadata":{"annotations":{"flannel.alpha.coreos.com/backend-type":"vxlan","flannel.alpha.coreos.com/public-ip":"192.0.2.1"}}}`, "", agent},
		{"and again, changed", "a", `{"metadata":{"annotations":{"flannel.alpha.coreos.com/backend-type":null,"flannel.alpha.coreos.com/public-ip":"192.0.2.2"}}}`, "", agent},
		{"addresses of the underlay", "a", `{"metadata":{"annotations":{"fairlead/underlay-addresses":"192.0.2.1","fairlead/underlay-addresses-written":"192.0.2.1"}}}`, "", agent},
		{"and without any", "a", `{"metadata":{"annotations":{"fairlead/underlay-addresses":null,"fairlead/underlay-addresses-written":null}}}`, "", agent},
		{"another annotation of that prefix", "a", `{"metadata":{"annotations":{"fairlead/underlay-addresses-x":"y"}}}`, "only annotations flannel.alpha.coreos.com", agent},
		{"condition", "a", `{"status":{"conditions":[{"type":"NetworkUnavailable","status":"False","reason":"x","message":"y"}]}}`, "", agent},
		{"another node", "b", `{"status":{"conditions":[{"type":"NetworkUnavailable","status":"False"}]}}`, "may not change the status of node b", agent},
		{"a token of no pod", "a", `{"status":{"conditions":[{"type":"NetworkUnavailable","status":"True"}]}}`, "may not change the status of node a", unbound},
		{"labels", "a", `{"metadata":{"labels":{"zone":"other"}}}`, "may not change labels", agent},
		{"another annotation", "a", foreign, "only annotations flannel.alpha.coreos.com", agent},
		{"removed annotation", "a", `{"metadata":{"annotations":{"other":null}}}`, "only annotations flannel.alpha.coreos.com", agent},
		{"readiness", "a", `{"status":{"conditions":[{"type":"Ready","status":"False"}]}}`, "only the condition NetworkUnavailable", agent},
		{"removed condition", "a", `{"status":{"conditions":[{"type":"Ready","$patch":"delete"}]}}`, "only the condition NetworkUnavailable", agent},
		{"addresses", "a", `{"status":{"addresses":[{"type":"InternalIP","address":"192.0.2.9"}]}}`, "may not change addresses", agent},
		{"capacity", "a", `{"status":{"capacity":{"cpu":"64"}}}`, "may not change addresses, capacity", agent},
		{"version", "a", `{"status":{"nodeInfo":{"kubeletVersion":"v9"}}}`, "or versions", agent},
		{"images", "a", `{"status":{"images":[{"names":["registry.example/x"],"sizeBytes":1}]}}`, "may not change images or volumes", agent},
		{"volumes in use", "a", `{"status":{"volumesInUse":[]}}`, "may not change images or volumes", agent},
		{"attached volumes", "a", `{"status":{"volumesAttached":[{"name":"v","devicePath":"/dev/x"}]}}`, "may not change images or volumes", agent},
		{"as administrator", "b", foreign, "", admin},
	} {
		err := patch(t.Context(), tt.client, tt.node, tt.body)
		if got := ""; tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			if err != nil {
				got = err.Error()
			}
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// asAgent returns the configuration of an agent with the token of a pod on a node, or
// with a token that is not bound to any.
func asAgent(t *testing.T, cfg *rest.Config, node string) *rest.Config {
	t.Helper()
	admin := kubernetes.NewForConfigOrDie(cfg)
	request := &authenticationv1.TokenRequest{}
	if node != "" {
		pod, err := admin.CoreV1().Pods(namespace).Create(t.Context(), &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: "fairlead-" + node},
			Spec:       corev1.PodSpec{NodeName: node, ServiceAccountName: "fairlead", Containers: []corev1.Container{{Name: "c", Image: "registry.example/c"}}},
		}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		request.Spec.BoundObjectRef = &authenticationv1.BoundObjectReference{Kind: "Pod", APIVersion: "v1", Name: pod.Name, UID: pod.UID}
	}
	token, err := admin.CoreV1().ServiceAccounts(namespace).CreateToken(t.Context(), "fairlead", request, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	out := rest.CopyConfig(cfg)
	out.BearerToken = token.Status.Token
	return out
}
