// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// completions has Services, Nodes and Pods, some of them with names that only a file can
// have.
const completions = `{"apiVersion": "v1", "kind": "List", "items": [
{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "default"}},
{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "webhook", "namespace": "default"}},
{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "dns", "namespace": "kube-system"}},
{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "evil\u001b[2J", "namespace": "default"}},
{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "two words", "namespace": "default"}},
{"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-1"}},
{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web-0", "namespace": "default"}}
]}`

// TestCompletion runs the command that shells run.
func TestCompletion(t *testing.T) {
	dir := emptyBundle(t)
	if err := os.WriteFile(filepath.Join(dir, "objects.json"), []byte(completions), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ args, want string }{
		{"get ", "services endpoints nodes hostports affinity egress"},
		{"get services ", "default/ kube-system/"},
		{"get services d", "default/web default/webhook"},
		{"get endpoints default/webh", "default/webhook"},
		{"get endpoints kube", "kube-system/dns"},
		{"get nodes n", "node-1"},
		{"get hostports ", "default/web-0"},
		{"get egress ", ""},
		{"explain default/", "default/web default/webhook"},
		{"explain default/web ", ""},
		{"explain default/web --from ", "default/ node node-1 outside pod"},
		{"explain default/web --from o", "outside"},
	} {
		command, rest, _ := strings.Cut(tt.args, " ")
		args := append([]string{"__complete", command, "--bundle", dir}, strings.Split(rest, " ")...)
		out, err := execute(t, args...)
		if err != nil {
			t.Errorf("%s: %v", tt.args, err)
		}
		list, _, _ := strings.Cut(out, ":")
		if got := strings.Join(strings.Fields(list), " "); got != tt.want {
			t.Errorf("fairlead %s completes %q, want %q", tt.args, got, tt.want)
		}
	}
}
