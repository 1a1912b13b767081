// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/strvals"
	appsv1 "k8s.io/api/apps/v1"
)

// installed is a release of Helm: the chart as it was, and the values of its user.
type installed struct {
	chart  *Chart
	values map[string]any
}

// commands returns the commands of helm on a page, one line each.
func commands(t *testing.T, page, verb string) (out []string) {
	t.Helper()
	text, err := os.ReadFile("../../../../docs/" + page)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range regexp.MustCompile(`(?m)^    helm `+verb+` (?:.*\\\n)*.*$`).FindAllString(string(text), -1) {
		out = append(out, strings.ReplaceAll(c, "\\\n", " "))
	}
	if len(out) == 0 {
		t.Fatalf("%s has no helm %s", page, verb)
	}
	return out
}

// flags returns the values that a command sets, parsed as Helm does.
func flags(t *testing.T, command string) map[string]any {
	t.Helper()
	values := map[string]any{}
	words := strings.Fields(strings.ReplaceAll(command, "'", ""))
	for i, w := range words[:len(words)-1] {
		parse := map[string]func(string, map[string]any) error{"--set": strvals.ParseInto, "--set-string": strvals.ParseIntoString}[w]
		if parse == nil {
			continue
		}
		if err := parse(words[i+1], values); err != nil {
			t.Fatalf("%s: %v", command, err)
		}
	}
	return values
}

// upgrade does to a release what `helm upgrade` does with the flags of a command (package
// action, reuseValues), and renders the result.
func (r *installed) upgrade(t *testing.T, to *Chart, command string) *appsv1.DaemonSet {
	t.Helper()
	values := flags(t, command)
	switch words := strings.Fields(command); {
	case slices.Contains(words, "--reuse-values"):
		old, err := chartutil.CoalesceValues(r.chart.c, r.values)
		if err != nil {
			t.Fatal(err)
		}
		to.c.Values = old
		values = chartutil.CoalesceTables(values, r.values)
	case slices.Contains(words, "--reset-then-reuse-values"):
		values = chartutil.CoalesceTables(values, r.values)
	}
	r.chart, r.values = to, values
	text, err := to.Render(values, Release{})
	if err != nil {
		t.Fatalf("%s: %v", command, err)
	}
	return pick[*appsv1.DaemonSet](t, decode(t, text))
}

// version returns the chart of a release, which pins its image.
func version(t *testing.T, number, digest string) *Chart {
	t.Helper()
	c := load(t)
	if err := c.SetVersion(number); err != nil {
		t.Fatal(err)
	}
	if err := c.Pin("sha256:" + strings.Repeat(digest, 64)); err != nil {
		t.Fatal(err)
	}
	return c
}

// older removes a value that the chart of an earlier version does not have.
func older(c *Chart) *Chart {
	delete(c.c.Values, "test")
	delete(c.c.Values["metrics"].(map[string]any), "tokenSecret")
	return c
}

// TestUpgradePage carries out the commands of docs/upgrade.md on a release of an earlier
// version: the image is the new one, values that are new have their defaults, and the user's
// own values stay.
func TestUpgradePage(t *testing.T) {
	r := &installed{older(version(t, "v0.1.0", "a")), with(map[string]any{"size": "xlarge", "network": vxlan})}
	steps := commands(t, "upgrade.md", "upgrade")
	if len(steps) != 3 {
		t.Fatalf("the page has %d commands: %q", len(steps), steps)
	}
	for i, want := range []string{"RollingUpdate 10% 0", "OnDelete", "RollingUpdate 10% 0"} {
		ds := r.upgrade(t, version(t, "v0.2.0", "b"), steps[i])
		got := string(ds.Spec.UpdateStrategy.Type)
		if u := ds.Spec.UpdateStrategy.RollingUpdate; u != nil {
			got += " " + u.MaxUnavailable.String() + " " + u.MaxSurge.String()
		}
		if got != want {
			t.Errorf("after %q the strategy is %s, want %s", steps[i], got, want)
		}
		c := ds.Spec.Template.Spec.Containers[0]
		if image := "registry.example/fairlead@sha256:" + strings.Repeat("b", 64); c.Image != image {
			t.Errorf("after %q the image is %s, want %s", steps[i], c.Image, image)
		}
		if memory := c.Resources.Limits.Memory().String(); memory != "768Mi" || r.values["network"] == nil {
			t.Errorf("after %q the agent has %s, network %v", steps[i], memory, r.values["network"])
		}
	}
}

// TestMigrationPage carries out the commands of docs/migration.md.
func TestMigrationPage(t *testing.T) {
	install := commands(t, "migration.md", "install")[0]
	r := &installed{chart: load(t), values: with(nil)}
	began := r.upgrade(t, load(t), install+" --reset-then-reuse-values").Spec.Template.Spec
	if began.NodeSelector["fairlead"] != "true" || !slices.Contains(began.Containers[0].Args, "--replace=kube-proxy,flannel") {
		t.Errorf("installed: nodes %v, arguments %q", began.NodeSelector, began.Containers[0].Args)
	}
	done := r.upgrade(t, load(t), commands(t, "migration.md", "upgrade")[0]).Spec.Template.Spec
	if _, limited := done.NodeSelector["fairlead"]; limited || done.NodeSelector["kubernetes.io/os"] != "linux" {
		t.Errorf("finished: nodes %v", done.NodeSelector)
	}
	for _, arg := range done.Containers[0].Args {
		if strings.HasPrefix(arg, "--replace") {
			t.Errorf("finished: %s", arg)
		}
	}
	if !slices.Contains(done.Containers[0].Args, "--flannel-compat") {
		t.Errorf("finished: arguments %q", done.Containers[0].Args)
	}
}

// TestReuseValues shows why no page says --reuse-values: it takes the defaults of the old
// chart, and the digest of its image is one of them.
func TestReuseValues(t *testing.T) {
	r := &installed{version(t, "v0.1.0", "a"), with(nil)}
	ds := r.upgrade(t, version(t, "v0.2.0", "b"), "helm upgrade fairlead fairlead-0.2.0.tgz --reuse-values")
	if image := ds.Spec.Template.Spec.Containers[0].Image; !strings.HasSuffix(image, "a") {
		t.Errorf("the image is %s: the pages may say --reuse-values again", image)
	}
}
