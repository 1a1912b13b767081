// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"
)

const chartDir = "../../chart"

// objects renders the chart and decodes everything strictly.
func objects(t *testing.T, values map[string]any) []runtime.Object {
	t.Helper()
	text, err := render(chartDir, values)
	if err != nil {
		t.Fatal(err)
	}
	decoder := serializer.NewCodecFactory(scheme.Scheme, serializer.EnableStrict).UniversalDeserializer()
	var out []runtime.Object
	for doc := range strings.SplitSeq(string(text), "\n---\n") {
		if strings.HasPrefix(doc, header[:20]) {
			continue
		}
		o, _, err := decoder.Decode([]byte(doc), nil, nil)
		if err != nil {
			t.Fatalf("%v\n%s", err, doc)
		}
		out = append(out, o)
	}
	return out
}

func pick[T runtime.Object](t *testing.T, all []runtime.Object) T {
	t.Helper()
	for _, o := range all {
		if o, ok := o.(T); ok {
			return o
		}
	}
	t.Fatalf("no %T among %d objects", *new(T), len(all))
	panic("unreachable")
}

// TestStale: the plain manifest is what the chart renders.
func TestStale(t *testing.T) {
	if err := run(chartDir, "../..", true); err != nil {
		t.Error(err)
	}
	stale := t.TempDir()
	if err := run(chartDir, stale, false); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(stale, "fairlead-network.yaml"), []byte(header), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := run(chartDir, stale, true); err == nil || !strings.Contains(err.Error(), "make manifests") {
		t.Errorf("a stale file gives %v", err)
	}
}

// TestPrivileges: the agent has NET_ADMIN and nothing else, and reads.
func TestPrivileges(t *testing.T) {
	all := objects(t, nil)
	pod := pick[*appsv1.DaemonSet](t, all).Spec.Template.Spec
	if pod.HostPID || pod.HostIPC || !pod.HostNetwork || pod.PriorityClassName != "system-node-critical" ||
		pod.SecurityContext.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
		t.Errorf("pod: %+v", pod)
	}
	for _, c := range pod.Containers {
		s := c.SecurityContext
		if s.Privileged != nil || *s.AllowPrivilegeEscalation || !*s.ReadOnlyRootFilesystem ||
			!slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) || !slices.Equal(s.Capabilities.Add, []corev1.Capability{"NET_ADMIN"}) {
			t.Errorf("container %s: %+v", c.Name, s)
		}
		if c.LivenessProbe.HTTPGet.Path != "/livez" || c.Resources.Limits.Memory().IsZero() || !c.Resources.Limits.Cpu().IsZero() {
			t.Errorf("container %s: %+v %+v", c.Name, c.LivenessProbe, c.Resources)
		}
	}
	for _, rule := range pick[*rbacv1.ClusterRole](t, all).Rules {
		writes := slices.ContainsFunc(rule.Verbs, func(v string) bool { return v != "get" && v != "list" && v != "watch" })
		if writes && !slices.Equal(rule.APIGroups, []string{"events.k8s.io"}) {
			t.Errorf("writes: %+v", rule)
		}
	}
}

// TestNetwork: in place of flannel there is more to mount, and no more privilege.
func TestNetwork(t *testing.T) {
	all := objects(t, manifests()["fairlead-network.yaml"])
	if text := pick[*corev1.ConfigMap](t, all).Data["net-conf.json"]; !strings.Contains(text, `"Network": "10.244.0.0/16"`) {
		t.Errorf("net-conf.json: %s", text)
	}
	pod := pick[*appsv1.DaemonSet](t, all).Spec.Template.Spec
	mounts := map[string]string{}
	for _, m := range pod.Containers[0].VolumeMounts {
		mounts[m.Name] = m.MountPath
	}
	for _, v := range pod.Volumes {
		if mounts[v.Name] == "" {
			t.Errorf("volume %s is not mounted", v.Name)
		}
	}
	for _, arg := range pod.Containers[0].Args {
		path, ok := strings.CutPrefix(arg, "--cni-conf-dir=")
		if ok && path != mounts["cni-conf"] {
			t.Errorf("%s is not mounted: %v", path, mounts)
		}
	}
}

// TestMigration: nodes that come from flannel write to the status of Nodes, and see
// what flannel left.
func TestMigration(t *testing.T) {
	values := maps.Clone(manifests()["fairlead-network.yaml"])
	values["flannelCompat"], values["replace"] = true, []any{"kube-proxy", "flannel"}
	all := objects(t, values)
	c := pick[*appsv1.DaemonSet](t, all).Spec.Template.Spec.Containers[0]
	for _, arg := range []string{"--flannel-compat", "--replace=kube-proxy,flannel"} {
		if !slices.Contains(c.Args, arg) {
			t.Errorf("%s is missing: %v", arg, c.Args)
		}
	}
	if !slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.MountPath == "/run/flannel" }) {
		t.Errorf("flannel's file is not mounted: %v", c.VolumeMounts)
	}
	rules := pick[*rbacv1.ClusterRole](t, all).Rules
	if !slices.ContainsFunc(rules, func(r rbacv1.PolicyRule) bool {
		return slices.Equal(r.Resources, []string{"nodes/status"}) && slices.Equal(r.Verbs, []string{"patch"})
	}) {
		t.Errorf("rules: %+v", rules)
	}
}

// TestValues: without kubeadm's ConfigMap there is one of our own, and an address
// of the API server.
func TestValues(t *testing.T) {
	values := map[string]any{"kubeProxyConfigMap": "", "config": map[string]any{"clusterCIDR": "10.244.0.0/16"}}
	if _, err := render(chartDir, values); err == nil || !strings.Contains(err.Error(), "apiServer.host is needed") {
		t.Errorf("without an address of the API server: %v", err)
	}
	values["apiServer"] = map[string]any{"host": "192.0.2.1"}
	values["args"] = []any{"--profiling"}
	all := objects(t, values)
	var config map[string]any
	text := pick[*corev1.ConfigMap](t, all).Data["config.conf"]
	if err := yaml.UnmarshalStrict([]byte(text), &config); err != nil || config["clusterCIDR"] != "10.244.0.0/16" || config["kind"] != "KubeProxyConfiguration" {
		t.Errorf("config.conf: %v\n%s", err, text)
	}
	c := pick[*appsv1.DaemonSet](t, all).Spec.Template.Spec.Containers[0]
	if !slices.Contains(c.Args, "--config=/etc/fairlead/config.conf") || !slices.Contains(c.Args, "--profiling") ||
		!slices.ContainsFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == "KUBERNETES_SERVICE_HOST" && e.Value == "192.0.2.1" }) {
		t.Errorf("container: %v %v", c.Args, c.Env)
	}
}
