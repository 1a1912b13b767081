// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fairlead/cmd/fairlead-lab/world"
	"fairlead/internal/lab"
	"fairlead/internal/nstest"
)

// TestBundle writes a bundle on a node. Commands say the same of it as of the node, and
// nothing that a Pod keeps secret is in it.
func TestBundle(t *testing.T) {
	nstest.Need(t)
	w, err := world.New(t.Context(), worldOf(t, lab.Config{Nodes: 1}), 2)
	testWorld(t, w, err)
	const pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: db, namespace: default}\nspec: {nodeName: node-1, containers: [{name: c, image: i, args: [hunter2], command: [hunter2], env: [{name: P, value: hunter2}]}]}\n"
	if err := world.WriteManifest(w.Manifests, "pod.yaml", pod); err != nil {
		t.Fatal(err)
	}
	if err := w.StartAgents(); err != nil {
		t.Fatal(err)
	}
	node := w.Cluster.Nodes[0]
	file := filepath.Join(t.TempDir(), "node.tar.gz")
	eventually(t, "the table", func() error {
		_, err := onNode(t, node, "table", "--service", "default/web")
		return err
	})
	if out, err := onNode(t, node, "bundle", "-o", file); err != nil || !strings.HasPrefix(out, "wrote "+file) {
		t.Fatalf("fairlead bundle: %v\n%s", err, out)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file has mode %v, %v", info.Mode(), err)
	}
	live, err := onNode(t, node, "get", "endpoints", "default/web", "-o", "json")
	if err != nil {
		t.Fatal(err)
	}
	if saved, err := execute(t, "get", "endpoints", "default/web", "-o", "json", "--bundle", file); err != nil || saved != live {
		t.Errorf("get of the bundle: %v\n%s\nof the node\n%s", err, saved, live)
	}
	checkSavedTable(t, node, file)
	if out, err := onNode(t, node, "bundle", "-o", file); err == nil || !strings.Contains(out, "file exists") {
		t.Errorf("a file is overwritten: %v, %s", err, out)
	}
	files := readArchive(t, file)
	if !strings.Contains(files["objects.json"], `"db"`) {
		t.Errorf("the Pod is not in the bundle: %s", files["objects.json"])
	}
	for name, text := range files {
		if strings.Contains(text, "hunter2") || filepath.IsAbs(name) || strings.Contains(name, "..") {
			t.Errorf("file %s has a secret, or leaves its directory:\n%s", name, text)
		}
	}
}

// checkSavedTable: table and diff say of a bundle what they say of the node, and diff finds
// what an object has and the table lacks.
func checkSavedTable(t *testing.T, node *lab.Node, file string) {
	t.Helper()
	live, err := onNode(t, node, "table", "--service", "default/web")
	if err != nil {
		t.Fatal(err)
	}
	if saved, err := execute(t, "table", "--service", "default/web", "--bundle", file); err != nil || saved != live {
		t.Errorf("table of the bundle: %v\n%s\nof the node\n%s", err, saved, live)
	}
	if out, err := execute(t, "diff", "--bundle", file); err != nil || out != "" {
		t.Errorf("diff of the bundle: %v, %s", err, out)
	}
	files := readArchive(t, file)
	objects := strings.Replace(files["objects.json"], `"nodePort": 30080`, `"nodePort": 30081`, 1)
	if objects == files["objects.json"] {
		t.Fatalf("no node port in %s", objects)
	}
	files["objects.json"] = objects
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := execute(t, "diff", "--bundle", dir); !errors.Is(err, errDiffers) || !strings.Contains(out, "30081") {
		t.Errorf("diff of a bundle whose objects changed: %v, %s", err, out)
	}
	delete(files, "table.json")
	if err := os.Remove(filepath.Join(dir, "table.json")); err != nil {
		t.Fatal(err)
	}
	if _, err := execute(t, "table", "--bundle", dir); err == nil || !strings.Contains(err.Error(), "table.json") {
		t.Errorf("table of a bundle without one: %v", err)
	}
}

// TestBundleFlags: what --redact and --redact-map do not know is said.
func TestBundleFlags(t *testing.T) {
	dir := emptyBundle(t)
	for args, want := range map[string]string{
		"--redact=passwords":      `--redact: "passwords" is not addresses or names`,
		"--redact-map /tmp/x":     "--redact-map has no effect without --redact",
		"--redact --redact-map /": "--redact-map: open /: ",
		"--redact extra":          "unknown command",
	} {
		out, err := execute(t, append([]string{"bundle", "--bundle", dir, "-o", "-"}, strings.Fields(args)...)...)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("fairlead bundle %s: %v\n%s", args, err, out)
		}
	}
	for args, want := range map[string]string{"": "10.96.0.10 web", "--redact=addresses": "web", "--redact=names": "10.96.0.10", "--redact": ""} {
		file := filepath.Join(t.TempDir(), "x.tar.gz")
		if out, err := execute(t, append([]string{"bundle", "--bundle", dir, "-o", file}, strings.Fields(args)...)...); err != nil {
			t.Fatalf("fairlead bundle %s: %v\n%s", args, err, out)
		}
		objects := readArchive(t, file)["objects.json"]
		for _, word := range []string{"10.96.0.10", "web"} {
			if strings.Contains(objects, `"`+word+`"`) != strings.Contains(want, word) {
				t.Errorf("fairlead bundle %s: want %q of\n%s", args, want, objects)
			}
		}
	}
}

func readArchive(t *testing.T, file string) map[string]string {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	raw, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for r := tar.NewReader(raw); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		out[filepath.Base(h.Name)] = string(text)
	}
	return out
}
