// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"
)

const webManifest = `apiVersion: v1
kind: Service
metadata: {name: web}
spec: {clusterIP: 10.96.0.10, ports: [{port: 80}]}
---
# another kind, ignored
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
`

func manifest(name, ip string) string {
	return strings.NewReplacer("web", name, "10.96.0.10", ip).Replace(webManifest)
}

// TestRunFiles follows a directory of manifests.
func TestRunFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		tmp := filepath.Join(dir, "."+name)
		if err := os.WriteFile(tmp, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(tmp, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	write("a.yaml", manifest("web", "10.96.0.10"))
	store := NewStore()
	store.Expect(SourceFiles)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- RunFiles(ctx, dir, store) }()
	web := types.NamespacedName{Namespace: "default", Name: "web"}
	at := func(ip string) func() bool {
		return func() bool {
			svc := store.Service(web)
			return svc != nil && svc.ClusterIPs[0].String() == ip
		}
	}
	problem := func(text string) func() bool {
		return func() bool {
			for _, p := range store.Problems() {
				if strings.Contains(p.String(), text) {
					return true
				}
			}
			return text == "" && len(store.Problems()) == 0
		}
	}
	eventually(t, "first read", func() bool { return store.Synced() && at("10.96.0.10")() })

	write("a.yaml", manifest("web", "10.96.0.11"))
	eventually(t, "replaced file", at("10.96.0.11"))

	write("a.yaml", manifest("web", "10.96.0.12")+"---\nkind: [\n")
	eventually(t, "report of a file that does not parse, with its line", problem("a.yaml: line 11: "))
	if !at("10.96.0.11")() {
		t.Error("a file that does not parse lost its last good state")
	}

	write("b.yaml", manifest("web", "10.96.0.13"))
	eventually(t, "report of an object in two files", problem("b.yaml"))
	if !at("10.96.0.11")() {
		t.Error("the object is not taken from the first file")
	}
	if err := os.Remove(filepath.Join(dir, "a.yaml")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "object of the other file", at("10.96.0.13"))
	eventually(t, "no problems left", problem(""))
	if err := os.Remove(filepath.Join(dir, "b.yaml")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "object gone with its file", func() bool { return store.Service(web) == nil })
	cancel()
	if err := <-done; err != nil {
		t.Errorf("RunFiles: %v", err)
	}
}

func TestReadFilesMissing(t *testing.T) {
	err := ReadFiles(filepath.Join(t.TempDir(), "nowhere"), NewStore())
	if err == nil || !strings.Contains(err.Error(), "nowhere") {
		t.Errorf("ReadFiles of a missing path: %v, want an error that names it", err)
	}
}

func TestParseManifest(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		items      int
		err        string
	}{
		{"empty", "", 0, ""},
		{"comments only", "# nothing\n---\n# here\n", 0, ""},
		{"documents", webManifest, 1, ""},
		{"JSON", `{"apiVersion":"v1","kind":"Service","metadata":{"name":"web"},"spec":{"clusterIP":"10.96.0.1"}}`, 1, ""},
		{"list", "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Node, metadata: {name: a}}\n- {apiVersion: v1, kind: Secret}\n", 1, ""},
		{"typed list", "apiVersion: v1\nkind: NodeList\nitems:\n- {metadata: {name: a}}\n- {metadata: {name: b}}\n", 2, ""},
		{"no kind", "apiVersion: v1\nkind: Node\nmetadata: {name: a}\n---\nfoo: 1\n", 0, "line 5: "},
		{"wrong type", "apiVersion: v1\nkind: Service\nspec: {ports: [{port: eighty}]}\n", 0, "port"},
		{"duplicate key", "apiVersion: v1\nkind: Node\nkind: Service\n", 0, "already set"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			items, err := parseManifest([]byte(tt.text))
			if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
				t.Fatalf("error %v, want %q", err, tt.err)
			}
			if len(items) != tt.items {
				t.Errorf("%d items, want %d", len(items), tt.items)
			}
		})
	}
}
