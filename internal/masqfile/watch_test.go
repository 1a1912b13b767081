// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package masqfile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsnotify/fsnotify"

	"fairlead/internal/filewatch"
)

// summary is a State in one line.
func summary(s State, dir string) string {
	out := "no file"
	if s.Present {
		out = fmt.Sprint(s.Config.NonMasqueradeCIDRs)
	}
	if s.Err != nil {
		out += " " + strings.ReplaceAll(s.Err.Error(), dir, "DIR")
	}
	return out
}

// world is the directory that a test changes.
type world struct {
	t   *testing.T
	dir string
}

func (w world) do(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w world) path(parts ...string) string {
	return filepath.Join(append([]string{w.dir}, parts...)...)
}

func (w world) write(name, text string) {
	w.t.Helper()
	w.do(os.MkdirAll(filepath.Dir(w.path(name)), 0o755))
	w.do(os.WriteFile(w.path(name), []byte(text), 0o600))
}

// configMap writes a new version as kubelet does (AtomicWriter).
func (w world) configMap(version, text string) {
	w.t.Helper()
	w.write("config/.."+version+"/ip-masq-agent", text)
	w.do(os.Symlink(".."+version, w.path("config/..data_tmp")))
	w.do(os.Rename(w.path("config/..data_tmp"), w.path("config/..data")))
	if _, err := os.Lstat(w.path("config/ip-masq-agent")); err != nil {
		w.do(os.Symlink("..data/ip-masq-agent", w.path("config/ip-masq-agent")))
	}
}

// TestWatch changes the file in every way there is.
func TestWatch(t *testing.T) {
	w := world{t, t.TempDir()}
	states := make(chan State, 100)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		done <- Watch(ctx, w.path("config", "ip-masq-agent"), func(s State) { states <- s }, func(err error) { t.Error(err) })
	}()
	defer func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if len(states) > 0 {
			t.Errorf("one more: %s", summary(<-states, w.dir))
		}
	}()
	cidrs := func(s string) string { return "nonMasqueradeCIDRs: [" + s + "]\n" }
	for _, step := range []struct {
		name   string
		change func()
		want   string
	}{
		{"no directory", func() {}, "no file"},
		{"directory and file", func() { w.write("config/ip-masq-agent", cidrs("10.1.0.0/16")) }, "[10.1.0.0/16]"},
		{"written in place", func() { w.write("config/ip-masq-agent", cidrs("10.2.0.0/16")) }, "[10.2.0.0/16]"},
		{"does not parse", func() { w.write("config/ip-masq-agent", cidrs("10.3.0.0")) },
			`[10.2.0.0/16] parse DIR/config/ip-masq-agent: line 1: nonMasqueradeCIDRs[0]: "10.3.0.0" is not a CIDR`},
		{"parses again", func() { w.write("config/ip-masq-agent", cidrs("10.2.0.0/16")) }, "[10.2.0.0/16]"},
		{"renamed over", func() {
			w.write("config/.tmp", cidrs("10.4.0.0/16"))
			w.do(os.Rename(w.path("config/.tmp"), w.path("config/ip-masq-agent")))
		}, "[10.4.0.0/16]"},
		{"a directory", func() {
			w.do(os.Remove(w.path("config/ip-masq-agent")))
			w.do(os.Mkdir(w.path("config/ip-masq-agent"), 0o755))
		}, "[10.4.0.0/16] read DIR/config/ip-masq-agent: is a directory"},
		{"gone", func() { w.do(os.Remove(w.path("config/ip-masq-agent"))) }, "no file"},
		{"ConfigMap", func() { w.configMap("v1", cidrs("10.5.0.0/16")) }, "[10.5.0.0/16]"},
		{"its next version", func() { w.configMap("v2", cidrs("10.6.0.0/16")) }, "[10.6.0.0/16]"},
		{"and the next", func() { w.configMap("v3", cidrs("10.7.0.0/16")); w.do(os.RemoveAll(w.path("config/..v1"))) }, "[10.7.0.0/16]"},
		{"directory gone", func() { w.do(os.RemoveAll(w.path("config"))) }, "no file"},
		{"and back", func() { w.configMap("v4", cidrs("10.8.0.0/16")) }, "[10.8.0.0/16]"},
		{"directory replaced", func() {
			w.do(os.Rename(w.path("config"), w.path("old")))
			w.write("config/ip-masq-agent", cidrs("10.9.0.0/16"))
		}, "[10.9.0.0/16]"},
		{"directory is a link", func() {
			w.write("a/ip-masq-agent", cidrs("10.10.0.0/16"))
			w.write("b/ip-masq-agent", cidrs("10.11.0.0/16"))
			w.do(os.RemoveAll(w.path("config")))
			w.do(os.Symlink("a", w.path("config")))
		}, "[10.10.0.0/16]"},
		{"which leads elsewhere", func() {
			w.do(os.Symlink("b", w.path("link")))
			w.do(os.Rename(w.path("link"), w.path("config")))
		}, "[10.11.0.0/16]"},
		{"written in the new one", func() { w.write("config/ip-masq-agent", cidrs("")) }, "[]"},
	} {
		step.change()
		select {
		case s := <-states:
			if got := summary(s, w.dir); got != step.want {
				t.Fatalf("%s: got %s, want %s", step.name, got, step.want)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("%s: nothing was noticed", step.name)
		}
	}
}

// TestWatchLink starts with a directory that is a link, so that only an event of its
// parent shows when it leads elsewhere.
func TestWatchLink(t *testing.T) {
	w := world{t, t.TempDir()}
	w.write("a/ip-masq-agent", "nonMasqueradeCIDRs: [10.1.0.0/16]\n")
	w.write("b/ip-masq-agent", "nonMasqueradeCIDRs: [10.2.0.0/16]\n")
	w.do(os.Symlink("a", w.path("config")))
	states := make(chan State, 100)
	done := make(chan error)
	ctx, stop := context.WithCancel(t.Context())
	go func() {
		done <- Watch(ctx, w.path("config/ip-masq-agent"), func(s State) { states <- s }, func(err error) { t.Error(err) })
	}()
	if got := summary(<-states, w.dir); got != "[10.1.0.0/16]" {
		t.Errorf("got %s", got)
	}
	w.do(os.Symlink("b", w.path("link")))
	w.do(os.Rename(w.path("link"), w.path("config")))
	select {
	case s := <-states:
		if got := summary(s, w.dir); got != "[10.2.0.0/16]" {
			t.Errorf("got %s", got)
		}
	case <-time.After(20 * time.Second):
		t.Error("nothing was noticed")
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestWatchResync checks that the interval finds a change without an event.
func TestWatchResync(t *testing.T) {
	w := world{t, t.TempDir()}
	w.write("elsewhere/file", "nonMasqueradeCIDRs: [10.1.0.0/16]\nresyncInterval: 10ms\n")
	w.write("config/x", "")
	w.do(os.Symlink("../elsewhere/file", w.path("config/ip-masq-agent")))
	states := make(chan State, 100)
	done := make(chan error)
	ctx, stop := context.WithCancel(t.Context())
	go func() {
		done <- Watch(ctx, w.path("config/ip-masq-agent"), func(s State) { states <- s }, func(err error) { t.Error(err) })
	}()
	if got := summary(<-states, w.dir); got != "[10.1.0.0/16]" {
		t.Errorf("got %s", got)
	}
	w.write("elsewhere/new", "nonMasqueradeCIDRs: [10.2.0.0/16]\n")
	w.do(os.Rename(w.path("elsewhere/new"), w.path("elsewhere/file")))
	if got := summary(<-states, w.dir); got != "[10.2.0.0/16]" {
		t.Errorf("got %s", got)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestUnwatched: the kernel has no room for one more watch. The file is read at its interval, and
// no more often than each second, however short that is.
func TestUnwatched(t *testing.T) {
	w := world{t, t.TempDir()}
	w.write("file", "nonMasqueradeCIDRs: [10.1.0.0/16]\nresyncInterval: 1ns\n")
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		states, refused := make(chan string, 10), make(chan error, 10)
		done := make(chan error, 1)
		go func() {
			done <- watchWith(ctx, filewatch.Options{
				Paths: []string{w.path("file")}, Refused: func(err error) { refused <- err },
				Open: func() (*fsnotify.Watcher, error) { return nil, syscall.EMFILE },
			}, func(s State) { states <- summary(s, w.dir) })
		}()
		time.Sleep(filewatch.Soonest - time.Nanosecond)
		synctest.Wait()
		w.write("file", "nonMasqueradeCIDRs: [10.2.0.0/16]\n")
		if len(states) != 1 {
			t.Errorf("before the first second: %d states", len(states))
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if len(states) != 2 || len(refused) != 1 {
			t.Fatalf("%d states and %d errors", len(states), len(refused))
		}
		if first, second, err := <-states, <-states, <-refused; first != "[10.1.0.0/16]" || second != "[10.2.0.0/16]" || !errors.Is(err, syscall.EMFILE) {
			t.Errorf("got %s, %s and the error %v", first, second, err)
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
