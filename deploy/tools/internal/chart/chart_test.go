// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"
)

const dir = "../../../chart"

func load(t *testing.T) *Chart {
	t.Helper()
	c, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// decoder refuses unknown and repeated fields of all kinds that the chart has.
func decoder(t *testing.T) runtime.Decoder {
	t.Helper()
	s := runtime.NewScheme()
	if err := scheme.AddToScheme(s); err != nil {
		t.Fatal(err)
	}
	if err := monitoringv1.AddToScheme(s); err != nil {
		t.Fatal(err)
	}
	return serializer.NewCodecFactory(s, serializer.EnableStrict).UniversalDeserializer()
}

// objects renders the chart and decodes everything strictly.
func objects(t *testing.T, values map[string]any, r Release) []runtime.Object {
	t.Helper()
	text, err := load(t).Render(values, r)
	if err != nil {
		t.Fatal(err)
	}
	return decode(t, text)
}

func decode(t *testing.T, text []byte) []runtime.Object {
	t.Helper()
	d := decoder(t)
	var out []runtime.Object
	for doc := range strings.SplitSeq(strings.TrimPrefix(string(text), "---\n"), "\n---\n") {
		o, _, err := d.Decode([]byte(doc), nil, nil)
		if err != nil {
			t.Fatalf("%v\n%s", err, doc)
		}
		out = append(out, o)
	}
	return out
}

func pick[T runtime.Object](t *testing.T, all []runtime.Object) (found T) {
	t.Helper()
	for _, o := range all {
		if o, ok := o.(T); ok {
			return o
		}
	}
	t.Fatalf("no %T among %d objects", found, len(all))
	return found
}

func has[T runtime.Object](all []runtime.Object) bool {
	return slices.ContainsFunc(all, func(o runtime.Object) bool { _, ok := o.(T); return ok })
}

func pod(t *testing.T, all []runtime.Object) corev1.PodSpec {
	t.Helper()
	return pick[*appsv1.DaemonSet](t, all).Spec.Template.Spec
}

// with returns the values of a usable installation and some more.
func with(more map[string]any) map[string]any {
	out := map[string]any{"image": map[string]any{"repository": "registry.example/fairlead"}}
	maps.Copy(out, more)
	return out
}

var (
	vxlan = map[string]any{"Network": "10.244.0.0/16", "Backend": map[string]any{"Type": "vxlan"}}
	on    = map[string]any{"enabled": true}
)

// presets returns the names of the files in presets/.
func presets(t *testing.T) (out []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "presets", "*.yaml"))
	if err != nil || len(files) != 7 {
		t.Fatalf("presets: %q, %v", files, err)
	}
	for _, f := range files {
		out = append(out, strings.TrimSuffix(filepath.Base(f), ".yaml"))
	}
	return out
}

// matrix returns the values that CI renders and lints: each preset as kube-proxy alone
// and with the network, and each option at least once.
func matrix(t *testing.T) map[string]map[string]any {
	t.Helper()
	out := map[string]map[string]any{}
	for _, p := range presets(t) {
		values := with(map[string]any{"preset": p})
		if p == "plain" {
			values["apiServer"] = map[string]any{"host": "192.0.2.1"}
		}
		out[p] = values
		network := maps.Clone(values)
		network["network"] = vxlan
		out[p+" with network"] = network
	}
	for name, values := range map[string]map[string]any{
		"digest":       {"image": map[string]any{"repository": "registry.example:5000/a/fairlead", "digest": "sha256:" + strings.Repeat("a", 64)}},
		"kubeadm new":  {"kubeProxyConfigMap": "", "apiServer": map[string]any{"host": "cp.example", "port": 443}},
		"migration":    {"network": vxlan, "flannelCompat": true, "replace": []any{"kube-proxy", "flannel"}, "healthzPort": 10266},
		"cloud":        {"network": vxlan, "setNodeNetworkAvailable": true},
		"underlay":     {"network": vxlan, "announceUnderlay": true},
		"no policy":    {"network": vxlan, "setNodeNetworkAvailable": true, "nodeStatusPolicy": false},
		"no plugins":   {"network": vxlan, "cni": map[string]any{"installPlugins": false}},
		"sysctls init": {"network": vxlan, "sysctls": "init"},
		"sysctls none": {"network": vxlan, "sysctls": "none"},
		"init, plain":  {"preset": "k3s", "sysctls": "init"},
		"pod monitor":  {"metrics": map[string]any{"listen": "node", "podMonitor": on, "rules": on, "dashboard": on}},
		"monitor":      {"metrics": map[string]any{"listen": "node", "serviceMonitor": on}},
		"secure":       {"metrics": map[string]any{"listen": "secure", "serviceMonitor": on, "tlsSecret": "fairlead-tls", "ca": map[string]any{"secret": "fairlead-tls", "serverName": "fairlead"}}},
		"secure-pods":  {"metrics": map[string]any{"listen": "secure", "podMonitor": on, "tokenSecret": map[string]any{"name": "prometheus-token"}}},
		"policy": {"metrics": map[string]any{"listen": "node", "networkPolicy": map[string]any{"enabled": true,
			"from": []any{map[string]any{"namespaceSelector": map[string]any{"matchLabels": map[string]any{"kubernetes.io/metadata.name": "monitoring"}}}}}}},
		"small":          {"size": "small"},
		"large":          {"size": "large"},
		"xlarge":         {"size": "xlarge"},
		"own resources":  {"resources": map[string]any{"requests": map[string]any{"memory": "1Gi"}}},
		"on delete":      {"updateStrategy": map[string]any{"type": "OnDelete", "rollingUpdate": nil}},
		"own class":      {"priorityClass": map[string]any{"create": true}},
		"localhost":      {"seccomp": map[string]any{"type": "Localhost"}, "network": vxlan},
		"unconfined":     {"seccomp": map[string]any{"type": "Unconfined"}},
		"selinux":        {"seLinuxOptions": map[string]any{"type": "spc_t"}, "appArmorProfile": map[string]any{"type": "RuntimeDefault"}},
		"labels":         {"labels": map[string]any{"a": "b"}, "annotations": map[string]any{"a": "b"}, "podLabels": map[string]any{"c": "d"}, "podAnnotations": map[string]any{"e": "f"}, "serviceAccountAnnotations": map[string]any{"g": "h"}},
		"secrets, args":  {"image": map[string]any{"repository": "r.example/f", "pullSecrets": []any{map[string]any{"name": "s"}}}, "args": []any{"--profiling"}},
		"affinity":       {"affinity": map[string]any{"nodeAffinity": map[string]any{}}, "minReadySeconds": 10},
		"configuration":  {"preset": "k3s", "config": map[string]any{"clusterCIDR": "10.42.0.0/16"}},
		"tests":          {"preset": "k3s", "test": map[string]any{"namespace": "x", "egress": []any{"example.com:443"}}},
		"node selection": {"nodeSelector": map[string]any{"fairlead": "true"}, "tolerations": []any{}},
	} {
		out[name] = with(values)
	}
	return out
}

// TestMatrix renders all combinations, decodes them strictly, checks that mounts and
// volumes fit, and lints them as `helm lint --strict` does.
func TestMatrix(t *testing.T) {
	for name, values := range matrix(t) {
		t.Run(name, func(t *testing.T) {
			all := objects(t, values, Release{})
			checkPod(t, pod(t, all))
			tests, err := load(t).Tests(values, Release{})
			if err != nil {
				t.Fatal(err)
			}
			checkTests(t, all, decode(t, tests))
			notes, err := load(t).Notes(values, Release{})
			if err != nil || !strings.Contains(notes, "rollout status daemonset/fairlead") || strings.Contains(notes, "<no value>") {
				t.Errorf("notes: %v\n%s", err, notes)
			}
			copied, err := clone(values)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range lint.All(dir, copied, "kube-system", true).Messages {
				if m.Severity >= support.WarningSev {
					t.Errorf("lint: %s", m)
				}
			}
		})
	}
}

// checkTests checks that helm test makes the namespace first and the pod last, that all
// rights but that of reading nodes end at the namespace, and that an installation makes
// none of it.
func checkTests(t *testing.T, installed, tests []runtime.Object) {
	t.Helper()
	ns, first := tests[0].(*corev1.Namespace)
	p, last := tests[len(tests)-1].(*corev1.Pod)
	if !first || !last {
		t.Fatalf("the first of the tests is %T, the last %T", tests[0], tests[len(tests)-1])
	}
	for _, o := range tests {
		meta := o.(metav1.Object)
		if meta.GetNamespace() != "" && meta.GetNamespace() != ns.Name {
			t.Errorf("%T %s is in namespace %s", o, meta.GetName(), meta.GetNamespace())
		}
		if r, ok := o.(*rbacv1.ClusterRole); ok && (len(r.Rules) != 1 || !slices.Equal(r.Rules[0].Resources, []string{"nodes"}) || !slices.Equal(r.Rules[0].Verbs, []string{"list"})) {
			t.Errorf("rights in all namespaces: %+v", r.Rules)
		}
		if meta.GetLabels()["app.kubernetes.io/name"] == "fairlead" {
			t.Errorf("%T %s looks like an agent", o, meta.GetName())
		}
		for _, i := range installed {
			if fmt.Sprintf("%T", i) == fmt.Sprintf("%T", o) && i.(metav1.Object).GetName() == meta.GetName() {
				t.Errorf("an installation makes %T %s", o, meta.GetName())
			}
		}
	}
	c := p.Spec.Containers[0]
	if c.Args[0] != "connectivity-test" || !slices.Contains(c.Args, "--namespace="+ns.Name) || !slices.Contains(c.Args, "--image="+c.Image) || !*p.Spec.SecurityContext.RunAsNonRoot || len(c.SecurityContext.Capabilities.Add) > 0 {
		t.Errorf("the pod is %+v", p.Spec)
	}
}

// checkPod checks what holds with all values: each volume is mounted, each mount has a
// volume, and each argument below /host or /etc/fairlead is in a mount.
func checkPod(t *testing.T, p corev1.PodSpec) {
	t.Helper()
	used := map[string]bool{}
	for _, c := range slices.Concat(p.InitContainers, p.Containers) {
		for _, m := range c.VolumeMounts {
			used[m.Name] = true
			if !slices.ContainsFunc(p.Volumes, func(v corev1.Volume) bool { return v.Name == m.Name }) {
				t.Errorf("%s mounts volume %s, which is not there", c.Name, m.Name)
			}
		}
		for _, arg := range c.Args {
			_, path, ok := strings.Cut(arg, "=/")
			if !ok || strings.HasPrefix(arg, "--cni-plugins-from=") {
				continue
			}
			if !slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return strings.HasPrefix("/"+path, m.MountPath) }) {
				t.Errorf("%s: %s is not mounted", c.Name, arg)
			}
		}
		s := c.SecurityContext
		if s.Privileged != nil || *s.AllowPrivilegeEscalation || !*s.ReadOnlyRootFilesystem ||
			!slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) || len(s.Capabilities.Add) != 1 || c.Resources.Requests.Memory().IsZero() {
			t.Errorf("container %s: %+v", c.Name, s)
		}
	}
	for _, v := range p.Volumes {
		if !used[v.Name] {
			t.Errorf("volume %s is not mounted", v.Name)
		}
	}
}

// TestRefused checks that values which cannot work are refused with a sentence that
// says what to do, or by the schema.
func TestRefused(t *testing.T) {
	c := load(t)
	for want, values := range map[string]map[string]any{
		"image.repository is needed":                  nil,
		"apiServer.host is needed with preset plain":  with(map[string]any{"preset": "plain"}),
		"need metrics.listen=secure or node":          with(map[string]any{"metrics": map[string]any{"podMonitor": on}}),
		"would scrape each agent twice":               with(map[string]any{"metrics": map[string]any{"listen": "node", "podMonitor": on, "serviceMonitor": on}}),
		"needs metrics.tokenSecret":                   with(map[string]any{"metrics": map[string]any{"listen": "secure", "podMonitor": on}}),
		"network.Backend.Type is needed":              with(map[string]any{"network": map[string]any{"Network": "10.244.0.0/16"}}),
		"flannelCompat needs network":                 with(map[string]any{"flannelCompat": true}),
		"announceUnderlay needs network":              with(map[string]any{"announceUnderlay": true}),
		"metrics.networkPolicy.from is needed":        with(map[string]any{"metrics": map[string]any{"networkPolicy": on}}),
		"Kubernetes makes the namespace kube-system":  with(map[string]any{"namespace": map[string]any{"create": true}}),
		"additional properties 'netwrok' not allowed": with(map[string]any{"netwrok": vxlan}), //nolint:misspell // the misspelled value is the case
		"at '/preset'":                                with(map[string]any{"preset": "k3d"}),
		"at '/image/digest'":                          with(map[string]any{"image": map[string]any{"repository": "a.example/b", "digest": "sha256:1"}}),
		"at '/image/repository'":                      with(map[string]any{"image": map[string]any{"repository": "fairlead"}}),
		"at '/updateStrategy/rollingUpdate/maxSurge'": with(map[string]any{"updateStrategy": map[string]any{"rollingUpdate": map[string]any{"maxSurge": 1}}}),
		"at '/replace/0'":                             with(map[string]any{"replace": []any{"calico"}}),
		"at '/args/0'":                                with(map[string]any{"args": []any{1}}),
	} {
		if _, err := c.Render(values, Release{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v gives %v, want %s", values, err, want)
		}
	}
}

// TestSchemaCovers checks that the schema has each value of values.yaml and no other.
func TestSchemaCovers(t *testing.T) {
	var schema struct{ Properties map[string]any }
	var values map[string]any
	for name, into := range map[string]any{"values.schema.json": &schema, "values.yaml": &values} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err == nil {
			err = yaml.Unmarshal(text, into)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	delete(schema.Properties, "global")
	a, b := slices.Sorted(maps.Keys(schema.Properties)), slices.Sorted(maps.Keys(values))
	if !slices.Equal(a, b) {
		t.Errorf("schema %q, values %q", a, b)
	}
}

// TestVersion checks that chart, image tag and label have one version, also after
// SetVersion.
func TestVersion(t *testing.T) {
	c := load(t)
	if "v"+c.c.Metadata.Version != c.AppVersion() {
		t.Errorf("chart %s, appVersion %s", c.c.Metadata.Version, c.AppVersion())
	}
	if err := c.SetVersion("v1.2.3-rc.1+abc"); err != nil {
		t.Fatal(err)
	}
	text, err := c.Render(with(nil), Release{})
	if err != nil || !bytes.Contains(text, []byte("image: registry.example/fairlead:v1.2.3-rc.1-abc\n")) ||
		!bytes.Contains(text, []byte("app.kubernetes.io/version: v1.2.3-rc.1-abc\n")) || c.c.Metadata.Version != "1.2.3-rc.1+abc" {
		t.Errorf("%v\n%s", err, text)
	}
	for _, bad := range []string{"1.2.3", "v1.2.x", "v"} {
		if err := c.SetVersion(bad); err == nil {
			t.Errorf("version %q is accepted", bad)
		}
	}
}

// TestPack packs the chart twice, and loads and renders it from the archive.
func TestPack(t *testing.T) {
	var a, b bytes.Buffer
	c := load(t)
	if err := c.SetVersion("v9.8.7"); err != nil {
		t.Fatal(err)
	}
	if err := c.Pack(&a, time.Unix(1e9, 0)); err != nil {
		t.Fatal(err)
	}
	if err := c.Pack(&b, time.Unix(1e9, 0)); err != nil || !bytes.Equal(a.Bytes(), b.Bytes()) {
		t.Errorf("%v, or not the same bytes twice", err)
	}
	unpacked, err := loader.LoadArchive(&a)
	if err != nil {
		t.Fatal(err)
	}
	values := with(map[string]any{"seccomp": map[string]any{"type": "Localhost"}, "metrics": map[string]any{"rules": on, "dashboard": on}})
	want, err := c.Render(values, Release{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := (&Chart{unpacked}).Render(values, Release{})
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("the packed chart renders something else: %v", err)
	}
}
