// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// TestPassedOn checks that each value which the chart only passes on arrives in the field that
// is meant, and that an installation without it leaves the field empty or at its default.
func TestPassedOn(t *testing.T) {
	term := map[string]any{"matchExpressions": []any{map[string]any{"key": "gpu", "operator": "DoesNotExist"}}}
	given := objects(t, with(map[string]any{
		"image":                     map[string]any{"repository": "registry.example/fairlead", "pullPolicy": "Always", "pullSecrets": []any{map[string]any{"name": "key"}}},
		"args":                      []any{"--profiling"},
		"affinity":                  map[string]any{"nodeAffinity": map[string]any{"requiredDuringSchedulingIgnoredDuringExecution": map[string]any{"nodeSelectorTerms": []any{term}}}},
		"nodeSelector":              map[string]any{"fairlead": "true"},
		"tolerations":               []any{map[string]any{"key": "own", "operator": "Exists"}},
		"updateStrategy":            map[string]any{"rollingUpdate": map[string]any{"maxUnavailable": 3}},
		"minReadySeconds":           10,
		"priorityClassName":         "own",
		"resources":                 map[string]any{"limits": map[string]any{"memory": "1Gi"}},
		"seccomp":                   map[string]any{"type": "Unconfined"},
		"seLinuxOptions":            map[string]any{"type": "spc_t"},
		"appArmorProfile":           map[string]any{"type": "Localhost", "localhostProfile": "own"},
		"labels":                    map[string]any{"all": "1"},
		"annotations":               map[string]any{"set": "2"},
		"podLabels":                 map[string]any{"pod": "3"},
		"podAnnotations":            map[string]any{"note": "4"},
		"serviceAccountAnnotations": map[string]any{"account": "5"},
	}), Release{})
	absent := objects(t, with(nil), Release{})
	for name, field := range map[string]struct {
		of            func([]runtime.Object) any
		given, absent any
	}{
		"pullPolicy":   {func(o []runtime.Object) any { return agentOf(t, o).ImagePullPolicy }, corev1.PullAlways, corev1.PullIfNotPresent},
		"pullSecrets":  {func(o []runtime.Object) any { return len(pod(t, o).ImagePullSecrets) }, 1, 0},
		"args":         {func(o []runtime.Object) any { return slices.Contains(agentOf(t, o).Args, "--profiling") }, true, false},
		"affinity":     {func(o []runtime.Object) any { return firstAffinity(pod(t, o)) }, "gpu", ""},
		"nodeSelector": {func(o []runtime.Object) any { return pod(t, o).NodeSelector["fairlead"] }, "true", ""},
		"tolerations":  {func(o []runtime.Object) any { return pod(t, o).Tolerations[0].Key }, "own", ""},
		"maxUnavailable": {func(o []runtime.Object) any {
			return set(t, o).Spec.UpdateStrategy.RollingUpdate.MaxUnavailable.String()
		}, "3", "10%"},
		"maxSurge":                  {func(o []runtime.Object) any { return set(t, o).Spec.UpdateStrategy.RollingUpdate.MaxSurge.String() }, "0", "0"},
		"minReadySeconds":           {func(o []runtime.Object) any { return set(t, o).Spec.MinReadySeconds }, int32(10), int32(0)},
		"priorityClassName":         {func(o []runtime.Object) any { return pod(t, o).PriorityClassName }, "own", "system-node-critical"},
		"resources":                 {func(o []runtime.Object) any { return agentOf(t, o).Resources.Limits.Memory().String() }, "1Gi", "512Mi"},
		"seccomp":                   {func(o []runtime.Object) any { return pod(t, o).SecurityContext.SeccompProfile.Type }, corev1.SeccompProfileTypeUnconfined, corev1.SeccompProfileTypeRuntimeDefault},
		"seLinuxOptions":            {func(o []runtime.Object) any { return seLinuxType(pod(t, o)) }, "spc_t", ""},
		"appArmorProfile":           {func(o []runtime.Object) any { return appArmorName(pod(t, o)) }, "own", ""},
		"labels":                    {func(o []runtime.Object) any { return set(t, o).Labels["all"] + account(t, o).Labels["all"] }, "11", ""},
		"annotations":               {func(o []runtime.Object) any { return set(t, o).Annotations["set"] }, "2", ""},
		"podLabels":                 {func(o []runtime.Object) any { return set(t, o).Spec.Template.Labels["pod"] }, "3", ""},
		"podAnnotations":            {func(o []runtime.Object) any { return set(t, o).Spec.Template.Annotations["note"] }, "4", ""},
		"serviceAccountAnnotations": {func(o []runtime.Object) any { return account(t, o).Annotations["account"] }, "5", ""},
	} {
		if diff := cmp.Diff(field.given, field.of(given)); diff != "" {
			t.Errorf("%s given (-want +got):\n%s", name, diff)
		}
		if diff := cmp.Diff(field.absent, field.of(absent)); diff != "" {
			t.Errorf("%s absent (-want +got):\n%s", name, diff)
		}
	}
}

func set(t *testing.T, all []runtime.Object) *appsv1.DaemonSet {
	t.Helper()
	return pick[*appsv1.DaemonSet](t, all)
}

func account(t *testing.T, all []runtime.Object) *corev1.ServiceAccount {
	t.Helper()
	return pick[*corev1.ServiceAccount](t, all)
}

func agentOf(t *testing.T, all []runtime.Object) *corev1.Container {
	t.Helper()
	return &pod(t, all).Containers[0]
}

func firstAffinity(p corev1.PodSpec) string {
	if p.Affinity == nil || p.Affinity.NodeAffinity == nil {
		return ""
	}
	return p.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms[0].MatchExpressions[0].Key
}

func seLinuxType(p corev1.PodSpec) string {
	if p.SecurityContext.SELinuxOptions == nil {
		return ""
	}
	return p.SecurityContext.SELinuxOptions.Type
}

func appArmorName(p corev1.PodSpec) string {
	if p.SecurityContext.AppArmorProfile == nil {
		return ""
	}
	return *p.SecurityContext.AppArmorProfile.LocalhostProfile
}
