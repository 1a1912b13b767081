// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fairlead/cmd/fairlead/options"
)

// TestHelp: each command has an example, and its help prints it.
func TestHelp(t *testing.T) {
	for _, args := range [][]string{{"--help"}, {"run", "--help"}, {"render", "--help"}, {"table", "--help"}, {"diff", "--help"}, {"get", "--help"}, {"explain", "--help"}, {"check", "--help"}, {"bundle", "--help"}, {"trace", "--help"}, {"ui", "--help"}, {"connectivity-test", "--help"}, {"perf", "--help"}, {"cleanup", "--help"}, {"version", "--help"}} {
		out, err := execute(t, args...)
		if err != nil {
			t.Errorf("%v: %v", args, err)
		}
		if _, examples, ok := strings.Cut(out, "Examples:\n"); !ok || !strings.Contains(examples, "  fairlead ") {
			t.Errorf("%v has no example:\n%s", args, out)
		}
		for line := range strings.Lines(out) {
			if len(line) > options.HelpWidth+10 {
				t.Errorf("%v has a line of %d characters: %s", args, len(line), line)
			}
		}
	}
}

// TestHelpGroups: no flag of run is in no group, and so hidden.
func TestHelpGroups(t *testing.T) {
	out, err := execute(t, "run", "--help")
	if err != nil {
		t.Fatal(err)
	}
	last := 0
	for _, want := range []string{
		"\nSource:\n", "--kubeconfig ", "--manifests ", "\nNode:\n", "--cluster-cidr ", "--node-name ", "\nServing:\n",
		"--healthz-bind-address ", "--metrics-bind-address ", "\nLogs:\n", "--logging-format ", "-v, --v ",
	} {
		i := strings.Index(out[last:], want)
		if i < 0 {
			t.Errorf("%q is missing, or not in its place", want)
			continue
		}
		last += i
	}
}

func TestVersion(t *testing.T) {
	for _, arg := range []string{"version", "--version"} {
		if out, err := execute(t, arg); err != nil || !strings.HasPrefix(out, "fairlead ") || strings.Contains(out, "$Format") {
			t.Errorf("%s prints %q, %v", arg, out, err)
		}
	}
}

func TestUnknown(t *testing.T) {
	for _, args := range [][]string{{"frobnicate"}, {"run", "--frobnicate"}, {"render", "x"}, {"table", "x"}, {"version", "x"}} {
		if _, err := execute(t, args...); err == nil {
			t.Errorf("%v is accepted", args)
		}
	}
}

// TestFlagErrors: values of flags that cannot be read are named, and functions of Go are not.
func TestFlagErrors(t *testing.T) {
	for args, want := range map[string]string{
		"ui --port 99999":     `invalid argument "99999" for "--port" flag: value out of range`,
		"trace --count x":     `invalid argument "x" for "--count" flag: invalid syntax`,
		"trace --all=perhaps": `invalid argument "perhaps" for "--all" flag: invalid syntax`,
	} {
		if _, err := execute(t, strings.Fields(args)...); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", args, err, want)
		}
	}
}

func TestRender(t *testing.T) {
	path := filepath.Join(t.TempDir(), "web.yaml")
	text := "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {clusterIP: 10.96.0.10, externalIPs: [x], ports: [{port: 80}]}\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := execute(t, "render", "--manifests", path, "--node-name", "node-a")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"table inet fairlead {\n", `10.96.0.10 . tcp . 80 comment "default/web" : goto refuse`,
		`fairlead: Service default/web: spec.externalIPs[0]: "x" is not an IP address` + "\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
	if err := os.WriteFile(path, []byte(text+"---\nkind: [\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = execute(t, "render", "--manifests", path, "--node-name", "node-a")
	if err == nil || !strings.HasPrefix(err.Error(), "read "+path+": line ") {
		t.Errorf("error %v, want one that names the file and the line", err)
	}
	for name, broken := range map[string]string{"file": "kind: [\n", "object": "apiVersion: v1\nkind: Service\nmetadata: {name: db}\nspec: {ports: [{port: x}]}\n"} {
		other := filepath.Join(filepath.Dir(path), "broken.yaml")
		if err := errors.Join(os.WriteFile(path, []byte(text), 0o600), os.WriteFile(other, []byte(broken), 0o600)); err != nil {
			t.Fatal(err)
		}
		out, err := execute(t, "render", "--manifests", filepath.Dir(path), "--node-name", "node-a")
		if err == nil || !strings.HasPrefix(err.Error(), "read "+other+": ") {
			t.Errorf("broken %s: error %v, want one that names %s", name, err, other)
		}
		if !strings.Contains(out, `10.96.0.10 . tcp . 80 comment "default/web" : goto refuse`) {
			t.Errorf("broken %s: the rest is not rendered:\n%s", name, out)
		}
	}
	if _, err := execute(t, "render", "--node-name=a"); err == nil || err.Error() != "--manifests: is missing" {
		t.Errorf("without --manifests: %v", err)
	}
}

// TestRenderErrors: a manifest that cannot be read is one line, in words of the object and
// not of the program.
func TestRenderErrors(t *testing.T) {
	const head = "apiVersion: v1\nkind: Service\nmetadata: {name: db}\n"
	path := filepath.Join(t.TempDir(), "f.yaml")
	for text, want := range map[string]string{
		head + "spec: {ports: [{port: x}]}":                                     "Service default/db: spec.ports.port: has to be a whole number in the range of the field, and is text",
		head + "spec: {ports: [{port: 80, targetPort: true}]}":                  "Service default/db: spec.ports.targetPort: has to be",
		head + "spec: {ports: [], ports: []}":                                   `line 4: key "ports" already set in map`,
		"apiVersion: v1\nkind: 5\nmetadata: {name: db}":                         "line 1: not a Kubernetes object: field kind has to be text, and is a number",
		"apiVersion: v1\nkind: Service\nmetadata: []":                           "line 1: read Service: field metadata has to be a mapping, and is a list",
		"apiVersion: v1\nkind: Service\nmetadata: {name: 5}":                    "line 1: read Service: field metadata.name has to be text, and is a number",
		"apiVersion: v1\nkind: Service\nmetadata: {name: db, labels: {a: 5}}":   "Service default/db: metadata.labels: has to be text, and is a number",
		"apiVersion: v1\nkind: Node\nmetadata: {name: a, creationTimestamp: x}": `Node a: field metadata.creationTimestamp: "x" is not a time such as 2026-01-02T03:04:05Z`,
		"apiVersion: v1\nkind: List\nitems: x":                                  "line 1: not a Kubernetes object: field items has to be a list, and is text",
		"apiVersion: v1\nkind: List\nitems: [5]":                                "line 1: items[0]: the text has to be a mapping, and is a number",
		"apiVersion: v1\nkind: List\nitems: [{kind: []}]":                       "line 1: items[0]: field kind has to be text, and is a list",
		"- a":     "line 1: not a Kubernetes object: the text has to be a mapping, and is a list",
		"kind: [": "line 1: did not find expected node content",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := execute(t, "render", "--manifests", path, "--node-name", "n", "--nodeport-addresses=")
		if err == nil || !strings.HasPrefix(err.Error(), "read "+path+": "+want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v, want %s", text, err, want)
			continue
		}
		checkError(t, "render", err.Error())
		for line := range strings.Lines(out) {
			if strings.HasPrefix(line, "fairlead: ") {
				t.Errorf("%q: besides the error is said %s", text, line)
			}
		}
	}
}

// TestRenderStrict reports what has no effect once, in words of the user, and ends with
// an error. Objects of other Kubernetes kinds are no mistake.
func TestRenderStrict(t *testing.T) {
	const good = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {clusterIP: 10.96.0.10, ports: [{port: 80}]}\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\n"
	for _, tt := range []struct {
		name, text, want string
		args             []string
	}{
		{name: "good", text: good},
		{name: "kind", text: good + "---\napiVersion: v1\nkind: Servce\nmetadata: {name: db, namespace: shop}\n",
			want: "FILE: Servce shop/db is ignored: Kubernetes has no kind Servce in v1; did you mean kind Service in v1?"},
		{name: "apiVersion", text: good + "---\napiVersion: discovery.k8s.io/v2\nkind: EndpointSlice\nmetadata: {name: db}\n",
			want: "FILE: EndpointSlice db is ignored: Kubernetes has no kind EndpointSlice in discovery.k8s.io/v2; did you mean kind EndpointSlice in discovery.k8s.io/v1?"},
		{name: "kind in a list", text: "apiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: Nod, metadata: {name: a}}]\n",
			want: "FILE: Nod a is ignored: Kubernetes has no kind Nod in v1; did you mean kind Node in v1?"},
		{name: "custom resource", text: good + "---\napiVersion: example.com/v1\nkind: Widget\nmetadata: {name: x}\n",
			want: "FILE: Widget x is ignored: Kubernetes has no kind Widget in example.com/v1"},
		{name: "field", text: strings.Replace(good, "clusterIP", "clusterIPx: 1, clusterIP", 1),
			want: "Service default/web: spec.clusterIPx: is not known, and ignored"},
		{name: "flag", text: good, args: []string{"--overlay-vni=7"}, want: "--overlay-vni has no effect without --overlay=vxlan or vxlan-direct"},
		{name: "flag that has an effect", text: good, args: []string{"--overlay=vxlan", "--overlay-vni=7"}},
		{name: "flag of masquerade", text: good, args: []string{"--ip-masq-nodes=false"}, want: "--ip-masq-nodes has no effect without --ip-masq"},
	} {
		path := filepath.Join(t.TempDir(), "web.yaml")
		if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, strict := range []bool{false, true} {
			args := append([]string{"render", "--manifests", path, "--node-name", "node-a", "--nodeport-addresses=", fmt.Sprintf("--strict=%v", strict)}, tt.args...)
			out, err := execute(t, args...)
			if (err != nil) != (strict && tt.want != "") {
				t.Errorf("%s, strict %v: error %v", tt.name, strict, err)
			}
			var got []string
			for line := range strings.Lines(out) {
				if text, ok := strings.CutPrefix(line, "fairlead: "); ok {
					got = append(got, strings.TrimSpace(strings.ReplaceAll(text, path, "FILE")))
				}
			}
			if strings.Join(got, "\n") != tt.want {
				t.Errorf("%s, strict %v: reports %q, want %q", tt.name, strict, got, tt.want)
			}
		}
	}
}

// TestCodes gives wrong flags and arguments to the commands whose exit code 1 is an answer.
func TestCodes(t *testing.T) {
	for _, command := range []string{"diff", "check", "status", "connectivity-test"} {
		for _, wrong := range []string{"--no-such-flag", "extra", "--timeout=x", "--output=xml", "--bundle=/no/such/file"} {
			_, err := execute(t, command, wrong)
			if err == nil || !errors.As(err, &failedError{}) {
				t.Errorf("fairlead %s %s: %v does not lead to exit code 2", command, wrong, err)
			}
		}
	}
}
