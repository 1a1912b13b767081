// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"slices"
	"strings"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	"sigs.k8s.io/yaml"
)

// TestPrivileges checks that the agent has NET_ADMIN and nothing else, and reads.
func TestPrivileges(t *testing.T) {
	all := objects(t, with(nil), Release{})
	p := pod(t, all)
	if p.HostPID || p.HostIPC || !p.HostNetwork || p.PriorityClassName != "system-node-critical" ||
		p.SecurityContext.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault || len(p.InitContainers) > 0 {
		t.Errorf("pod: %+v", p)
	}
	c := p.Containers[0]
	if !slices.Equal(c.SecurityContext.Capabilities.Add, []corev1.Capability{"NET_ADMIN"}) || c.LivenessProbe.HTTPGet.Path != "/livez" ||
		c.Resources.Limits.Memory().IsZero() || !c.Resources.Limits.Cpu().IsZero() {
		t.Errorf("container: %+v", c)
	}
	for _, rule := range pick[*rbacv1.ClusterRole](t, all).Rules {
		writes := slices.ContainsFunc(rule.Verbs, func(v string) bool { return v != "get" && v != "list" && v != "watch" })
		if writes && !slices.Equal(rule.APIGroups, []string{"events.k8s.io"}) {
			t.Errorf("writes: %+v", rule)
		}
	}
}

// TestWritableMounts checks that the running agent can write to the directories of the
// conflist and of its socket alone, and to kernel settings only when it sets them.
func TestWritableMounts(t *testing.T) {
	for sysctls, want := range map[string][]string{"agent": {"cni-conf", "run", "sysctl"}, "init": {"cni-conf", "run"}, "none": {"cni-conf", "run"}} {
		p := pod(t, objects(t, with(map[string]any{"network": vxlan, "sysctls": sysctls}), Release{}))
		var writable []string
		for _, m := range p.Containers[0].VolumeMounts {
			if !m.ReadOnly {
				writable = append(writable, m.Name)
			}
		}
		slices.Sort(writable)
		if !slices.Equal(writable, want) {
			t.Errorf("sysctls=%s: writable are %q, want %q", sysctls, writable, want)
		}
		if got := slices.Contains(p.Containers[0].Args, "--set-sysctls=false"); got != (sysctls != "agent") {
			t.Errorf("sysctls=%s: %v", sysctls, p.Containers[0].Args)
		}
	}
}

// TestNetwork checks what taking flannel's place adds.
func TestNetwork(t *testing.T) {
	all := objects(t, with(map[string]any{"network": vxlan}), Release{})
	if text := pick[*corev1.ConfigMap](t, all).Data["net-conf.json"]; !strings.Contains(text, `"Network": "10.244.0.0/16"`) {
		t.Errorf("net-conf.json: %s", text)
	}
	p := pod(t, all)
	if len(p.InitContainers) != 1 || !slices.Contains(p.InitContainers[0].Args, "--cni-bin-dir=/host/opt/cni/bin") ||
		slices.ContainsFunc(p.Containers[0].Args, func(a string) bool { return strings.HasPrefix(a, "--cni-plugins-from") }) {
		t.Errorf("init containers: %+v, arguments: %q", p.InitContainers, p.Containers[0].Args)
	}
	if has[*admissionv1.ValidatingAdmissionPolicy](all) {
		t.Error("a policy about nodes/status is there, which the agent may not patch")
	}
}

// TestPresets checks what differs between kinds of clusters.
func TestPresets(t *testing.T) {
	for preset, want := range map[string]struct{ host, port, conf, bin string }{
		"kubeadm":  {"", "", "/etc/cni/net.d", "/opt/cni/bin"},
		"k3s":      {"127.0.0.1", "6444", "/etc/cni/net.d", "/opt/cni/bin"},
		"rke2":     {"127.0.0.1", "6443", "/etc/cni/net.d", "/opt/cni/bin"},
		"kind":     {"kind-control-plane", "6443", "/etc/cni/net.d", "/opt/cni/bin"},
		"talos":    {"localhost", "7445", "/etc/cni/net.d", "/opt/cni/bin"},
		"microk8s": {"127.0.0.1", "16443", "/var/snap/microk8s/current/args/cni-network", "/var/snap/microk8s/current/opt/cni/bin"},
	} {
		p := pod(t, objects(t, with(map[string]any{"preset": preset, "network": vxlan}), Release{}))
		env, paths := map[string]string{}, map[string]string{}
		for _, e := range p.Containers[0].Env {
			env[e.Name] = e.Value
		}
		for _, v := range p.Volumes {
			if v.HostPath != nil {
				paths[v.Name] = v.HostPath.Path
			}
		}
		if env["KUBERNETES_SERVICE_HOST"] != want.host || env["KUBERNETES_SERVICE_PORT"] != want.port || paths["cni-conf"] != want.conf || paths["cni-bin"] != want.bin {
			t.Errorf("%s: %v %v, want %v", preset, env, paths, want)
		}
	}
}

// TestMigration checks that nodes which come from flannel write to the status of Nodes,
// within a policy, and see what flannel left.
func TestMigration(t *testing.T) {
	values := with(map[string]any{"network": vxlan, "flannelCompat": true, "replace": []any{"kube-proxy", "flannel"}, "healthzPort": 10266})
	all := objects(t, values, Release{Namespace: "net"})
	c := pod(t, all).Containers[0]
	for _, arg := range []string{"--flannel-compat", "--replace=kube-proxy,flannel", "--healthz-bind-address=:10266"} {
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
	policy := pick[*admissionv1.ValidatingAdmissionPolicy](t, all)
	if e := policy.Spec.MatchConditions[0].Expression; !strings.Contains(e, `"system:serviceaccount:net:fairlead"`) || *policy.Spec.FailurePolicy != admissionv1.Fail {
		t.Errorf("policy: %+v", policy.Spec)
	}
	if b := pick[*admissionv1.ValidatingAdmissionPolicyBinding](t, all); b.Spec.PolicyName != policy.Name {
		t.Errorf("binding: %+v", b.Spec)
	}
}

// TestOwnConfiguration checks an installation without kubeadm's ConfigMap.
func TestOwnConfiguration(t *testing.T) {
	values := with(map[string]any{"preset": "plain", "config": map[string]any{"clusterCIDR": "10.244.0.0/16"},
		"apiServer": map[string]any{"host": "192.0.2.1"}, "args": []any{"--profiling"}})
	all := objects(t, values, Release{})
	var config map[string]any
	text := pick[*corev1.ConfigMap](t, all).Data["config.conf"]
	if err := yaml.UnmarshalStrict([]byte(text), &config); err != nil || config["clusterCIDR"] != "10.244.0.0/16" || config["kind"] != "KubeProxyConfiguration" {
		t.Errorf("config.conf: %v\n%s", err, text)
	}
	c := pod(t, all).Containers[0]
	if !slices.Contains(c.Args, "--config=/etc/fairlead/config.conf") || !slices.Contains(c.Args, "--profiling") ||
		!slices.ContainsFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == "KUBERNETES_SERVICE_HOST" && e.Value == "192.0.2.1" }) {
		t.Errorf("container: %v %v", c.Args, c.Env)
	}
}

// TestMonitoring checks that monitors find the port, and the policy admits only peers.
func TestMonitoring(t *testing.T) {
	peers := []any{map[string]any{"podSelector": map[string]any{}}}
	metrics := map[string]any{"listen": "node", "podMonitor": on, "rules": on, "dashboard": on, "networkPolicy": map[string]any{"enabled": true, "from": peers}}
	all := objects(t, with(map[string]any{"metrics": metrics}), Release{})
	monitor := pick[*monitoringv1.PodMonitor](t, all)
	ds := pick[*appsv1.DaemonSet](t, all)
	for k, v := range monitor.Spec.Selector.MatchLabels {
		if ds.Spec.Template.Labels[k] != v {
			t.Errorf("the monitor selects %s=%s, which pods do not have: %v", k, v, ds.Spec.Template.Labels)
		}
	}
	c := ds.Spec.Template.Spec.Containers[0]
	if !slices.ContainsFunc(c.Ports, func(p corev1.ContainerPort) bool { return p.Name == *monitor.Spec.PodMetricsEndpoints[0].Port }) ||
		!slices.Contains(c.Args, "--metrics-bind-address=[$(HOST_IP)]:10249") {
		t.Errorf("ports %+v, arguments %q", c.Ports, c.Args)
	}
	if groups := pick[*monitoringv1.PrometheusRule](t, all).Spec.Groups; len(groups) != 2 || !strings.Contains(groups[1].Rules[0].Annotations["summary"], "{{ $labels.instance }}") {
		t.Errorf("rules: %+v", groups)
	}
	ingress := pick[*networkingv1.NetworkPolicy](t, all).Spec.Ingress
	if len(ingress) != 2 || len(ingress[0].From) != 0 || ingress[0].Ports[0].Port.IntValue() != 10256 || len(ingress[1].From) != 1 || ingress[1].Ports[0].Port.IntValue() != 10249 {
		t.Errorf("policy: %+v", ingress)
	}
}

// TestSeccomp checks that the narrower profile is written before it is used, and only
// for the container that it is made for.
func TestSeccomp(t *testing.T) {
	p := pod(t, objects(t, with(map[string]any{"seccomp": map[string]any{"type": "Localhost"}}), Release{}))
	name := *p.Containers[0].SecurityContext.SeccompProfile.LocalhostProfile
	if !slices.Contains(p.InitContainers[0].Args, "--seccomp-to=/host/seccomp/"+name) || p.InitContainers[0].SecurityContext.SeccompProfile != nil ||
		p.SecurityContext.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
		t.Errorf("profile %s: %+v", name, p.InitContainers[0])
	}
	for _, m := range p.Containers[0].VolumeMounts {
		if m.Name == "seccomp" {
			t.Error("the agent can write profiles")
		}
	}
}

// TestClassAndNamespace checks objects that are made on request.
func TestClassAndNamespace(t *testing.T) {
	all := objects(t, with(map[string]any{"priorityClass": map[string]any{"create": true}, "namespace": map[string]any{"create": true}}), Release{Namespace: "net"})
	if class := pick[*schedulingv1.PriorityClass](t, all); class.Name != pod(t, all).PriorityClassName || class.Value != 1e9 {
		t.Errorf("class: %+v", class)
	}
	if ns := pick[*corev1.Namespace](t, all); ns.Name != "net" || ns.Labels["pod-security.kubernetes.io/enforce"] != "privileged" {
		t.Errorf("namespace: %+v", ns)
	}
}

// TestOnDelete checks the way that the page about upgrades describes: null removes what
// values.yaml has.
func TestOnDelete(t *testing.T) {
	values := with(map[string]any{"updateStrategy": map[string]any{"type": "OnDelete", "rollingUpdate": nil}})
	if s := pick[*appsv1.DaemonSet](t, objects(t, values, Release{})).Spec.UpdateStrategy; s.Type != appsv1.OnDeleteDaemonSetStrategyType || s.RollingUpdate != nil {
		t.Errorf("strategy: %+v", s)
	}
}
