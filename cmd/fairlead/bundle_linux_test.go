// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"fairlead/cmd/fairlead-lab/world"
	"fairlead/cmd/fairlead/doctor/finding"
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
	eventually(t, "the agent has done what check asks for", func() error {
		if r := checkOn(t, node); r.Worst() == finding.Error {
			return errors.New(r.Text())
		}
		return nil
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
	checkSavedCheck(t, node, file)
	checkBundleFlag(t, file)
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

// checkSavedCheck: check finds in a bundle what it finds on the node.
func checkSavedCheck(t *testing.T, node *lab.Node, file string) {
	t.Helper()
	live := checkOn(t, node)
	out, err := execute(t, "check", "-o", "json", "--bundle", file)
	var saved finding.Report
	if jsonErr := json.Unmarshal([]byte(out), &saved); jsonErr != nil {
		t.Fatalf("check of the bundle prints %s: %v, %v", out, jsonErr, err)
	}
	names := func(r *finding.Report) (list []string) {
		for i := range r.Findings {
			list = append(list, fmt.Sprint(r.Findings[i].Check, r.Findings[i].Severity))
		}
		return list
	}
	if !slices.Equal(names(&live), names(&saved)) || len(live.Findings) < 10 {
		t.Errorf("check of the bundle finds\n%s\non the node\n%s", saved.Text(), live.Text())
	}
	text, _ := execute(t, "check", "--bundle", file)
	if want := "The node was checked at " + saved.Time.UTC().Format(time.DateTime+"Z") + ", for the bundle.\n"; saved.Time.IsZero() || !strings.HasSuffix(text, want) || !strings.Contains(text, "has all") {
		t.Errorf("check of the bundle does not end with %q:\n%s", want, text)
	}
}

// withoutBundle are the commands that do not read one node, and why.
func withoutBundle() map[string]string {
	return map[string]string{
		"run": "it is the agent", "render": "it reads manifests and no node; diff compares a bundle with its objects",
		"ui": "it forwards a page that lives; status prints the state in a bundle", "connectivity-test": "it sends packets in a cluster", "perf": "it sends packets in a cluster",
		"probe": "it is what pods of the tests run", "cleanup": "it changes a node", "install": "it changes a node", "version": "it is about the program",
	}
}

// checkBundleFlag: each command reads a bundle or has a reason not to. With a bundle it
// refuses flags that would have no effect.
func checkBundleFlag(t *testing.T, file string) {
	t.Helper()
	args := map[string]string{
		"get": "services", "explain": "default/web", "trace": "default/web", "table": "", "diff": "", "status": "", "check": "", "bundle": "-o -",
	}
	for _, cmd := range newRootCommand().Commands() {
		line, reads := args[cmd.Name()]
		if _, ok := withoutBundle()[cmd.Name()]; ok == reads || reads != (cmd.Flags().Lookup("bundle") != nil) {
			t.Errorf("fairlead %s: --bundle is there: %v, and a test for it: %v", cmd.Name(), cmd.Flags().Lookup("bundle") != nil, reads)
		}
		if !reads {
			continue
		}
		run := append(append([]string{cmd.Name()}, strings.Fields(line)...), "--bundle", file)
		out, err := execute(t, run...)
		if _, isCode := errors.AsType[exitError](err); err != nil && !isCode || len(out) < 20 && cmd.Name() != "diff" {
			t.Errorf("fairlead %v: %v\n%s", run, err, out)
		}
		for _, flag := range []string{"--watch", "--node-name=other", "--cluster-cidr=10.0.0.0/8", "--timeout=1s", "--count=1", "--peer-timeout=1s", "--socket-dir=/tmp"} {
			name, _, _ := strings.Cut(strings.TrimPrefix(flag, "--"), "=")
			if cmd.Flags().Lookup(name) == nil {
				continue
			}
			if out, err := execute(t, append(run, flag)...); err == nil || !strings.Contains(err.Error(), "--bundle is about one node at one time") || !strings.Contains(err.Error(), "--"+name) {
				t.Errorf("fairlead %v %s: %v\n%s", run, flag, err, out)
			}
		}
	}
	out, err := execute(t, "trace", "--to", "10.96.0.10:80", "--from", "node", "--bundle", file)
	if err != nil || !strings.Contains(out, "a bundle has no packets") || !strings.Contains(out, "vips4") {
		t.Errorf("fairlead trace --bundle: %v\n%s", err, out)
	}
	if _, err := execute(t, "trace", "default/web", "-o", "json", "--bundle", file); err == nil || !strings.Contains(err.Error(), "use fairlead explain --bundle "+file+" -o json") {
		t.Errorf("fairlead trace --bundle -o json: %v", err)
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
