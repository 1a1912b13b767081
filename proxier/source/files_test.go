// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package source

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairlead/proxier/objects"
	"fairlead/proxier/proxiertest"
	"fairlead/proxier/store"
)

func service(name, ip string) string {
	return fmt.Sprintf("---\napiVersion: v1\nkind: Service\nmetadata: {name: %s}\nspec: {clusterIP: %s, ports: [{port: 80}]}\n", name, ip)
}

// TestFilesSequence changes files and checks the contents of the store after each change.
func TestFilesSequence(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		tmp := filepath.Join(dir, ".tmp")
		if err := os.WriteFile(tmp, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(tmp, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	remove := func(name string) {
		t.Helper()
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	store := store.New()
	f := newFiles(dir, store)
	for _, step := range []struct {
		name     string
		change   func()
		want     string // Services and their addresses
		dirty    string
		problems []string
	}{
		{"two files", func() {
			write("a.yaml", service("a", "10.0.0.1"))
			write("b.yml", service("b", "10.0.0.2")+service("c", "10.0.0.3"))
		},
			"a=10.0.0.1 b=10.0.0.2 c=10.0.0.3", "a b c", nil},
		{"nothing", func() {}, "a=10.0.0.1 b=10.0.0.2 c=10.0.0.3", "", nil},
		{"same content", func() { write("a.yaml", "# again\n"+service("a", "10.0.0.1")) }, "a=10.0.0.1 b=10.0.0.2 c=10.0.0.3", "", nil},
		{"not for us", func() { write("c.txt", service("x", "10.0.0.9")); write(".d.yaml", service("x", "10.0.0.9")) }, "a=10.0.0.1 b=10.0.0.2 c=10.0.0.3", "", nil},
		{"one of two changes", func() { write("b.yml", service("b", "10.0.0.2")+service("c", "10.0.0.4")) }, "a=10.0.0.1 b=10.0.0.2 c=10.0.0.4", "c", nil},
		{"moves to another file", func() {
			write("a.yaml", "# none\n")
			write("b.yml", service("a", "10.0.0.1")+service("b", "10.0.0.2")+service("c", "10.0.0.4"))
		},
			"a=10.0.0.1 b=10.0.0.2 c=10.0.0.4", "", nil},
		{"in two files", func() { write("a.yaml", service("c", "10.0.0.5")) }, "a=10.0.0.1 b=10.0.0.2 c=10.0.0.5", "c",
			[]string{"Service default/c: is in DIR/b.yml, too, which is ignored in favour of DIR/a.yaml"}},
		{"twice in one", func() { write("a.yaml", service("c", "10.0.0.5")+service("c", "10.0.0.6")); remove("b.yml") }, "c=10.0.0.6", "a b c",
			[]string{"Service default/c: is in DIR/a.yaml more than once; the last one counts"}},
		{"does not parse", func() { write("a.yaml", service("c", "10.0.0.7")+"---\n[") }, "c=10.0.0.6", "", []string{
			"File DIR/a.yaml: line 7: did not find expected node content; what it said before stays in force",
			"Service default/c: is in DIR/a.yaml more than once; the last one counts",
		}},
		{"truncated", func() { write("a.yaml", "") }, "c=10.0.0.6", "", []string{
			"File DIR/a.yaml: is empty; remove the file to take its objects away; what it said before stays in force",
			"Service default/c: is in DIR/a.yaml more than once; the last one counts",
		}},
		{"parses again", func() { write("a.yaml", service("c", "10.0.0.8")+service("d", "10.0.0.9")) }, "c=10.0.0.8 d=10.0.0.9", "c d", nil},
		{"wrong type", func() { write("a.yaml", service("c", "[]")+service("d", "10.0.0.10")) }, "c=10.0.0.8 d=10.0.0.10", "d",
			[]string{"Service default/c: spec.clusterIP: has to be text, and is a list"}},
		{"wrong value", func() { write("a.yaml", service("c", "10.0.0.300")+service("d", "10.0.0.10")) }, "d=10.0.0.10", "c",
			[]string{`Service default/c: spec.clusterIP: "10.0.0.300" is not an IP address`}},
		{"all gone", func() { remove("a.yaml") }, "", "d", nil},
		{"new file does not parse", func() { write("z.json", "{") }, "", "",
			[]string{"File DIR/z.json: line 1: did not find expected node content; nothing of it is in force"}},
		{"dangling link", func() {
			remove("z.json")
			if err := os.Symlink("nowhere", filepath.Join(dir, "l.yaml")); err != nil {
				t.Fatal(err)
			}
		}, "", "", []string{"File DIR/l.yaml: cannot be read: no such file or directory; nothing of it is in force"}},
		{"link leads somewhere", func() { write("nowhere", service("l", "10.0.0.1")) }, "l=10.0.0.1", "l", nil},
		{"link is gone", func() { remove("l.yaml") }, "", "l", nil},
		{"directory", func() {
			if err := os.Mkdir(filepath.Join(dir, "sub.yaml"), 0o700); err != nil {
				t.Fatal(err)
			}
		}, "", "", nil},
	} {
		step.change()
		if err := f.scan(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		var have, dirty, problems []string
		for _, key := range store.Services() {
			have = append(have, key.Name+"="+store.Service(key).ClusterIPs[0].String())
		}
		for _, key := range store.TakeDirty().Services {
			dirty = append(dirty, key.Name)
		}
		slices.Sort(dirty)
		for _, p := range store.Book().Problems() {
			problems = append(problems, strings.ReplaceAll(p.String(), dir, "DIR"))
		}
		if got := strings.Join(have, " "); got != step.want {
			t.Errorf("%s: Services %s, want %s", step.name, got, step.want)
		}
		if got := strings.Join(dirty, " "); got != step.dirty {
			t.Errorf("%s: dirty %s, want %s", step.name, got, step.dirty)
		}
		if diff := cmp.Diff(step.problems, problems); diff != "" {
			t.Errorf("%s: problems (-want +got):\n%s", step.name, diff)
		}
	}
	if len(f.byName) > 0 || len(f.holders) > 0 {
		t.Errorf("something is remembered of files that are gone: %v, %v", f.byName, f.holders)
	}
}

// TestReadFiles reads a directory with every form of manifest.
func TestReadFiles(t *testing.T) {
	store := store.New()
	if _, err := ReadFiles("testdata/manifests", store); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, key := range store.Services() {
		got = append(got, fmt.Sprint(key, " ", store.Service(key).ClusterIPs))
		for _, s := range store.Slices(key) {
			got = append(got, fmt.Sprintf("  %s: %d ports, %d endpoints", s.Key, len(s.Ports), len(s.Endpoints)))
		}
	}
	for _, n := range store.Nodes() {
		got = append(got, fmt.Sprint(n.Name, " ", n.Addresses, " ", n.PodCIDRs, " ", n.Zone))
	}
	for _, c := range store.ServiceCIDRs() {
		got = append(got, fmt.Sprint(c.Name, " ", c.CIDRs))
	}
	want := []string{
		"default/kubernetes [10.96.0.1]", "  default/kubernetes: 1 ports, 1 endpoints",
		"default/web [10.96.0.20]", "  default/web-1: 1 ports, 2 endpoints",
		"kube-system/kube-dns [10.96.0.10 fd00:10:96::a]", "  kube-system/kube-dns-x7k2p: 2 ports, 2 endpoints",
		"node-a [172.18.0.3 fd00:18::3] [10.244.0.0/24 fd00:10:244::/64] z1", "node-b [172.18.0.4] [] ", "node-c [] [] ",
		"kubernetes [10.96.0.0/16 fd00:10:96::/112]",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the store has (-want +got):\n%s", diff)
	}
	if problems := store.Book().Problems(); len(problems) > 0 {
		t.Errorf("problems: %v", problems)
	}
}

// TestReadFilesError checks that the rest is in the store nevertheless.
func TestReadFilesError(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"a.yaml": service("a", "10.0.0.1"), "b.yaml": "a: b: c\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	store := store.New()
	_, err := ReadFiles(dir, store)
	want := "read " + filepath.Join(dir, "b.yaml") + ": line 1: mapping values are not allowed in this context"
	if proxiertest.ErrText(err) != want {
		t.Errorf("error %v, want %s", err, want)
	}
	if len(store.Services()) != 1 {
		t.Error("the other file is not in the store")
	}
}

// TestFilesUnreadablePod keeps the host ports of a Pod whose new version cannot be
// decoded.
func TestFilesUnreadablePod(t *testing.T) {
	dir := t.TempDir()
	objs := store.New()
	f := newFiles(dir, objs)
	for _, port := range []string{"8080", "eighty"} {
		manifest := `{apiVersion: v1, kind: Pod, metadata: {namespace: default, name: web}, spec: {nodeName: node-a, ` +
			`containers: [{name: c, ports: [{containerPort: 80, hostPort: ` + port + `}]}]}, status: {phase: Running, podIP: 10.244.0.3}}`
		if err := os.WriteFile(filepath.Join(dir, "pod.yaml"), []byte(manifest), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := f.scan(); err != nil {
			t.Fatal(err)
		}
		pod := objs.Pod(proxiertest.NameOf("web"))
		if pod == nil || len(pod.Ports) != 1 || pod.Ports[0].HostPort != 8080 {
			t.Fatalf("hostPort %s: the store has %+v", port, pod)
		}
	}
	if ps := objs.Book().Problems(); len(ps) != 1 || ps[0].Kind != objects.KindPod {
		t.Errorf("problems %v, want one of the Pod", ps)
	}
}
