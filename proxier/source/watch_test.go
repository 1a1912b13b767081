// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package source

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsnotify/fsnotify"
	"k8s.io/apimachinery/pkg/types"

	"fairlead/internal/filewatch"
	"fairlead/proxier/proxiertest"
	"fairlead/proxier/store"
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

func manifest(ip string) string {
	return strings.ReplaceAll(webManifest, "10.96.0.10", ip)
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
	write("a.yaml", manifest("10.96.0.10"))
	st := store.New()
	st.Expect(SourceFiles)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- RunFiles(ctx, dir, st) }()
	web := types.NamespacedName{Namespace: "default", Name: "web"}
	at := func(ip string) func() bool {
		return func() bool {
			svc := st.Service(web)
			return svc != nil && svc.ClusterIPs[0].String() == ip
		}
	}
	problem := func(text string) func() bool {
		return func() bool {
			for _, p := range st.Book().Problems() {
				if strings.Contains(p.String(), text) {
					return true
				}
			}
			return text == "" && len(st.Book().Problems()) == 0
		}
	}
	proxiertest.Eventually(t, "first read", func() bool { return st.Synced() && at("10.96.0.10")() })

	write("a.yaml", manifest("10.96.0.11"))
	proxiertest.Eventually(t, "replaced file", at("10.96.0.11"))

	write("a.yaml", manifest("10.96.0.12")+"---\nkind: [\n")
	proxiertest.Eventually(t, "report of a file that does not parse, with its line", problem("a.yaml: line 11: "))
	if !at("10.96.0.11")() {
		t.Error("a file that does not parse lost its last good state")
	}

	write("b.yaml", manifest("10.96.0.13"))
	proxiertest.Eventually(t, "report of an object in two files", problem("b.yaml"))
	if !at("10.96.0.11")() {
		t.Error("the object is not taken from the first file")
	}
	if err := os.Remove(filepath.Join(dir, "a.yaml")); err != nil {
		t.Fatal(err)
	}
	proxiertest.Eventually(t, "object of the other file", at("10.96.0.13"))
	proxiertest.Eventually(t, "no problems left", problem(""))
	if err := os.Remove(filepath.Join(dir, "b.yaml")); err != nil {
		t.Fatal(err)
	}
	proxiertest.Eventually(t, "object gone with its file", func() bool { return st.Service(web) == nil })
	cancel()
	if err := <-done; err != nil {
		t.Errorf("RunFiles: %v", err)
	}
}

func TestReadFilesMissing(t *testing.T) {
	_, err := ReadFiles(filepath.Join(t.TempDir(), "nowhere"), store.New())
	if err == nil || !strings.Contains(err.Error(), "nowhere") {
		t.Errorf("ReadFiles of a missing path: %v, want an error that names it", err)
	}
}

// TestRunFilesUnwatched: the kernel has no room for one more watch.
func TestRunFilesUnwatched(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.yaml")
	write := func(ip string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(manifest(ip)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("10.96.0.10")
	synctest.Test(t, func(t *testing.T) {
		st := store.New()
		st.Expect(SourceFiles)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			done <- runFiles(ctx, path, st, func() (*fsnotify.Watcher, error) { return nil, syscall.EMFILE })
		}()
		synctest.Wait()
		has := func(ip string) bool {
			svc := st.Service(types.NamespacedName{Namespace: "default", Name: "web"})
			return svc != nil && svc.ClusterIPs[0].String() == ip
		}
		if !st.Synced() || !has("10.96.0.10") {
			t.Error("the first read is missing")
		}
		write("10.96.0.100")
		time.Sleep(filewatch.Interval)
		synctest.Wait()
		if !has("10.96.0.100") || len(st.Book().Problems()) > 0 {
			t.Errorf("the change is missing, problems %v", st.Book().Problems())
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestRunFilesWays changes a file in the ways that editors, shells and kubelets
// do it.
func TestRunFilesWays(t *testing.T) {
	dir := t.TempDir()
	inside := func(name string) string { return filepath.Join(dir, name) }
	put := func(path, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	do := func(errs ...error) {
		t.Helper()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
	}
	var st *store.Store
	at := func(ip string) bool {
		svc := st.Service(proxiertest.NameOf("web"))
		return svc != nil && svc.ClusterIPs[0].String() == ip
	}
	now := func(ip string) {
		t.Helper()
		soon(t, ip, func() bool { return at(ip) })
	}
	gone := func(path string) {
		t.Helper()
		soon(t, "report of "+path, func() bool {
			ps := st.Book().Problems()
			return len(ps) == 1 && strings.HasPrefix(ps[0].Name, inside(path)) && strings.Contains(ps[0].Text, "no such file or directory; what it said before stays in force")
		})
	}
	for _, tc := range []struct {
		name, path string
		before     func()
		change     func()
	}{
		{
			"file written in place", "a.yaml",
			func() { put(inside("a.yaml"), manifest("10.96.0.10")) },
			func() { put(inside("a.yaml"), manifest("10.96.0.11")) },
		},
		{
			"file moved away and written anew", "b.yaml",
			func() { put(inside("b.yaml"), manifest("10.96.0.10")) },
			func() {
				do(os.Rename(inside("b.yaml"), inside("b.yaml~")))
				put(inside("b.yaml"), manifest("10.96.0.11"))
			},
		},
		{
			"ConfigMap", "c",
			func() {
				put(inside("c/..1/web.yaml"), manifest("10.96.0.10"))
				do(os.Symlink("..1", inside("c/..data")), os.Symlink("..data/web.yaml", inside("c/web.yaml")))
			},
			func() {
				put(inside("c/..2/web.yaml"), manifest("10.96.0.11"))
				do(os.Symlink("..2", inside("c/..data_tmp")), os.Rename(inside("c/..data_tmp"), inside("c/..data")), os.RemoveAll(inside("c/..1")))
			},
		},
		{
			"one file of a ConfigMap", "d/web.yaml",
			func() {
				put(inside("d/..1/web.yaml"), manifest("10.96.0.10"))
				do(os.Symlink("..1", inside("d/..data")), os.Symlink("..data/web.yaml", inside("d/web.yaml")))
			},
			func() {
				put(inside("d/..2/web.yaml"), manifest("10.96.0.11"))
				do(os.Symlink("..2", inside("d/..data_tmp")), os.Rename(inside("d/..data_tmp"), inside("d/..data")), os.RemoveAll(inside("d/..1")))
			},
		},
		{
			"link to another directory", "e",
			func() {
				put(inside("e1/web.yaml"), manifest("10.96.0.10"))
				put(inside("e2/web.yaml"), manifest("10.96.0.11"))
				do(os.Symlink("e1", inside("e")))
			},
			func() { do(os.Symlink("e2", inside("e~")), os.Rename(inside("e~"), inside("e"))) },
		},
		{
			"directory made anew", "f",
			func() { put(inside("f/web.yaml"), manifest("10.96.0.10")) },
			func() {
				do(os.RemoveAll(inside("f")))
				put(inside("f/web.yml"), manifest("10.96.0.11"))
			},
		},
		{
			"directory made anew later", "g",
			func() { put(inside("g/web.yaml"), manifest("10.96.0.10")) },
			func() {
				do(os.RemoveAll(inside("g")))
				gone("g")
				put(inside("g/web.yml"), manifest("10.96.0.11"))
			},
		},
		{
			"directory moved away and another put in its place", "h",
			func() { put(inside("h/web.yaml"), manifest("10.96.0.10")) },
			func() {
				put(inside("h~/web.yaml"), manifest("10.96.0.12"))
				do(os.Rename(inside("h"), inside("h.old")), os.Rename(inside("h~"), inside("h")))
				now("10.96.0.12")
				put(inside("h/web.yaml"), manifest("10.96.0.11"))
			},
		},
		{
			"directory made anew with the one above", "i/j",
			func() { put(inside("i/j/web.yaml"), manifest("10.96.0.10")) },
			func() {
				do(os.RemoveAll(inside("i")))
				gone("i/j")
				put(inside("i/j/web.yml"), manifest("10.96.0.11"))
			},
		},
		{
			"directory of the file made anew", "k/web.yaml",
			func() { put(inside("k/web.yaml"), manifest("10.96.0.10")) },
			func() {
				do(os.RemoveAll(inside("k")))
				gone("k")
				put(inside("k/web.yaml"), manifest("10.96.0.11"))
			},
		},
		{
			"file gone for a while", "l.yaml",
			func() { put(inside("l.yaml"), manifest("10.96.0.10")) },
			func() {
				do(os.Remove(inside("l.yaml")))
				gone("l.yaml")
				now("10.96.0.10") // still
				put(inside("l.yaml"), manifest("10.96.0.11"))
			},
		},
		{
			"link that led nowhere for a while", "m",
			func() {
				put(inside("m.real/web.yaml"), manifest("10.96.0.10"))
				do(os.Mkdir(inside("m"), 0o700), os.Symlink("../m.real/web.yaml", inside("m/web.yaml")))
			},
			func() {
				do(os.Rename(inside("m.real"), inside("m.old")), os.Symlink("x", inside("m/x")), os.Remove(inside("m/x")))
				gone("m/web.yaml")
				now("10.96.0.10") // still
				put(inside("m.real/web.yaml"), manifest("10.96.0.11"))
			},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.before()
			st = store.New()
			st.Expect(SourceFiles)
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error)
			go func() { done <- RunFiles(ctx, inside(tc.path), st) }()
			proxiertest.Eventually(t, "first read", st.Synced)
			if !at("10.96.0.10") {
				t.Errorf("first read: %v, %v", st.Service(proxiertest.NameOf("web")), st.Book().Problems())
			}
			tc.change()
			soon(t, "change", func() bool { return at("10.96.0.11") && len(st.Book().Problems()) == 0 })
			cancel()
			if err := <-done; err != nil {
				t.Errorf("RunFiles: %v", err)
			}
		})
	}
}

// soon is like eventually, but does not wait for the repeated check of files without an
// event.
func soon(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(filewatch.Interval * 9 / 10); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", filewatch.Interval*9/10, what)
		}
	}
}
