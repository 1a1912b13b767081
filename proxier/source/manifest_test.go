// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package source

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairlead/proxier/store"
)

func TestParseManifest(t *testing.T) {
	const (
		node = "apiVersion: v1\nkind: Node\nmetadata: {name: a}\n"
		json = `{"apiVersion":"v1","kind":"Node","metadata":{"name":"a"}}`
	)
	for _, tt := range []struct {
		name, text string
		items      string
		err        string
	}{
		{"empty", "", "", ""},
		{"comments only", "# nothing\n---\n# here\n---\n", "", ""},
		{"documents", webManifest, "Service default/web", ""},
		{"separator with comment", "--- # first\n" + node + "--- \t# second\n" + node, "Node a, Node a", ""},
		{"content behind a separator", "--- {apiVersion: v1, kind: Node, metadata: {name: b}}\n", "Node b", ""},
		{"end of a document", node + "...\n" + node + "...\n---\n" + node + "...\n", "Node a, Node a, Node a", ""},
		{"directives", "# x\n%YAML 1.2\n%TAG ! tag:x,2000:\n--- # x\n" + node + "...\n%YAML 1.1\n---\n" + node, "Node a, Node a", ""},
		{"directives without a document", "%YAML 1.1\n" + node, "", "line 1: did not find expected <document start>"},
		{"CRLF", strings.ReplaceAll(node+"---\n"+node, "\n", "\r\n"), "Node a, Node a", ""},
		{"no final newline", "---\n" + strings.TrimSpace(node), "Node a", ""},
		{"indented", "  apiVersion: v1\n  kind: Node\n  metadata: {name: a}\n", "Node a", ""},
		{"dashes in a value", node[:len(node)-2] + ", labels: {x: ---}}\n", "Node a", ""},
		{"JSON", json, "Node a", ""},
		{"JSON objects", json + "\n" + json, "Node a, Node a", ""},
		{"JSON with tabs", "{\n\t\"apiVersion\": \"v1\",\n\t\"kind\": \"Node\",\n\t\"metadata\": {\"name\": \"a\"}\n}", "Node a", ""},
		{"YAML that looks like JSON", "{apiVersion: v1, kind: Node, metadata: {name: a}}\n---\n" + node, "Node a, Node a", ""},
		{"list", "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Node, metadata: {name: a}}\n- {apiVersion: v1, kind: Secret}\n", "Node a", ""},
		{"typed list", "apiVersion: v1\nkind: NodeList\nitems:\n- {metadata: {name: a}}\n- {metadata: {name: b}}\n", "Node a, Node b", ""},
		{"namespaces", "apiVersion: v1\nkind: ServiceList\nitems:\n- {metadata: {name: a}}\n- {metadata: {name: a, namespace: b}}\n", "Service default/a, Service b/a", ""},
		{"other versions and groups", "apiVersion: v2\nkind: Node\n---\napiVersion: serving.knative.dev/v1\nkind: Service\n", "", ""},
		{"no kind", node + "---\nfoo: 1\n", "", "line 5: not a Kubernetes object: apiVersion or kind is missing"},
		{"no object", node + "---\n\n- 1\n", "", "line 5: not a Kubernetes object: "},
		{"no kind in JSON", json + `{"a": 1}`, "", "object 2: not a Kubernetes object: "},
		{"broken", node + "---\n# here\nkind: [\n", "", "line 6: did not find expected node content"},
		{"broken JSON", json[:len(json)-1], "", "line 1: "},
		{"duplicate key", "apiVersion: v1\nkind: Node\nkind: Service\n", "", `line 3: key "kind" already set in map`},
		{"wrong type without a name", "apiVersion: v1\nkind: Service\nspec: {ports: [{port: eighty}]}\n", "", "line 1: read Service: "},
		{"wrong type of a list", "apiVersion: v1\nkind: List\nitems: 5\n", "", "line 1: not a Kubernetes object: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			items, err := ParseManifest([]byte(tt.text))
			if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.HasPrefix(err.Error(), tt.err)) {
				t.Fatalf("error %v, want %q", err, tt.err)
			}
			var got []string
			for _, it := range items {
				got = append(got, it.Key.Kind+" "+it.Key.Name)
			}
			if list := strings.Join(got, ", "); list != tt.items {
				t.Errorf("items %s, want %s", list, tt.items)
			}
		})
	}
}

// TestParseManifestStrict: a field that makes no sense costs its object, one
// that does not exist costs nothing.
func TestParseManifestStrict(t *testing.T) {
	items, err := ParseManifest([]byte(`
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Service, metadata: {name: text}, spec: {clusterIP: 10.96.0.1, ports: [{port: eighty}]}}
- {apiVersion: v1, kind: Service, metadata: {name: large}, spec: {clusterIP: 10.96.0.1, ports: [{port: 8000000000}]}}
- {apiVersion: v1, kind: Service, metadata: {name: case}, spec: {clusterIp: 10.96.0.1, clusterIP: 10.96.0.2, ports: [{port: 80, tls: true}]}}
- {apiVersion: v1, kind: Node, metadata: {name: fine}}
`))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, it := range items {
		for _, p := range it.Problems {
			got = append(got, p.String())
		}
	}
	want := []string{
		"Service default/text: spec.ports.port: has to be a whole number in the range of the field, and is text",
		"Service default/large: spec.ports.port: has to be a whole number in the range of the field, and is 8000000000",
		"Service default/case: spec.clusterIp: is not known, and ignored",
		"Service default/case: spec.ports[0].tls: is not known, and ignored",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
	if !items[0].Unread || !items[1].Unread || items[2].Service == nil || items[3].Node == nil {
		t.Errorf("what is left of the objects: %+v", items)
	}
}

// FuzzParseManifest checks that every file is read or refused, and that objects that
// were read can be put in a store and taken out again.
func FuzzParseManifest(f *testing.F) {
	f.Add([]byte(webManifest))
	f.Add([]byte(`{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"Node","metadata":{"name":"a"}}]}`))
	f.Add([]byte("--- x\n---\n- {\n"))
	f.Add([]byte("apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: a/b}\nports: [{port: x}]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		items, err := ParseManifest(data)
		if err != nil {
			return
		}
		s := store.New()
		s.Update(func(tx *store.Tx) {
			for i := range items {
				tx.Put(&items[i])
			}
			for i := range items {
				tx.Drop(items[i].Key)
			}
		})
		for _, it := range items {
			if it.Slice != nil && len(s.Slices(it.Slice.Service)) > 0 {
				t.Errorf("slice %s is left", it.Key.Name)
			}
		}
		if left := len(s.Services()) + len(s.Nodes()) + len(s.ServiceCIDRs()) + len(s.Book().Problems()); left > 0 {
			t.Errorf("%d things are left", left)
		}
	})
}
