// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package filewatch

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsnotify/fsnotify"
)

// content is what a file says; it is empty for a missing one.
func content(path string) string {
	b, _ := os.ReadFile(path)
	return string(b)
}

// TestRun changes a file in every way: its directory appears, is removed and comes back, and the
// file is replaced by a rename, by the links of a ConfigMap and in place.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	put := func(name, text string) error {
		return errors.Join(os.MkdirAll(filepath.Dir(in(name)), 0o700), os.WriteFile(in(name), []byte(text), 0o600))
	}
	said, done := make(chan string, 1000), make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	refused := func(err error) { t.Errorf("refused: %v", err) }
	go func() {
		done <- Run(ctx, Options{Paths: []string{in("a/b/file"), in("dir")}, Refused: refused}, func() (time.Duration, error) {
			said <- content(in("a/b/file")) + content(in("dir/x.yaml"))
			return 0, nil
		})
	}()
	version := func(v string) error {
		return errors.Join(put("a/b/.."+v+"/file", v), os.Symlink(".."+v, in("a/b/..tmp")), os.Rename(in("a/b/..tmp"), in("a/b/..data")))
	}
	for _, step := range []struct {
		name   string
		change func() error
		want   string
	}{
		{"nothing is there", func() error { return nil }, ""},
		{"directories and file", func() error { return put("a/b/file", "1") }, "1"},
		{"written in place", func() error { return put("a/b/file", "2") }, "2"},
		{"replaced", func() error { return errors.Join(put("a/b/new", "3"), os.Rename(in("a/b/new"), in("a/b/file"))) }, "3"},
		{"directory is removed", func() error { return os.RemoveAll(in("a")) }, ""},
		{"and comes back", func() error { return put("a/b/file", "4") }, "4"},
		{"ConfigMap", func() error {
			return errors.Join(version("v1"), os.Remove(in("a/b/file")), os.Symlink("..data/file", in("a/b/file")))
		}, "v1"},
		{"its next version", func() error { return version("v2") }, "v2"},
		{"the other path", func() error { return put("dir/x.yaml", "+") }, "v2+"},
		{"is removed", func() error { return os.RemoveAll(in("dir")) }, "v2"},
		{"and comes back", func() error { return put("dir/x.yaml", "++") }, "v2++"},
	} {
		if err := step.change(); err != nil {
			t.Fatal(err)
		}
		await(t, step.name, said, step.want)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// await waits until a look sees a content, for less than the time to the next look without an event.
func await(t *testing.T, what string, said <-chan string, want string) {
	t.Helper()
	limit := time.After(Interval * 9 / 10)
	for last := "no look"; ; {
		select {
		case last = <-said:
			if last == want {
				return
			}
		case <-limit:
			t.Fatalf("%s: the last look saw %q, want %q", what, last, want)
		}
	}
}

// TestRunUnwatched: the kernel has no instance of inotify left. The looks follow each other at the
// interval that they ask for, within bounds, and it is said once.
func TestRunUnwatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var refused []error
		var waits []time.Duration
		asked := []time.Duration{0, time.Nanosecond, 3 * time.Second, time.Hour, 0}
		start, end := time.Now(), errors.New("end")
		err := Run(t.Context(), Options{
			Paths: []string{t.TempDir()}, Refused: func(err error) { refused = append(refused, err) },
			Open: func() (*fsnotify.Watcher, error) { return nil, syscall.EMFILE },
		}, func() (time.Duration, error) {
			waits = append(waits, time.Since(start))
			start = time.Now()
			if len(waits) == len(asked) {
				return 0, end
			}
			return asked[len(waits)-1], nil
		})
		if !errors.Is(err, end) || len(refused) != 1 || !errors.Is(refused[0], syscall.EMFILE) {
			t.Errorf("Run: %v, refused %v", err, refused)
		}
		for i, want := range []time.Duration{0, Interval, Soonest, 3 * time.Second, Interval} {
			if waits[i] != want {
				t.Errorf("look %d came after %v, want %v", i, waits[i], want)
			}
		}
	})
}

// TestRunRecovers: the kernel first has no instance, then takes no watch, and then does both.
// A change is found by its event from then on.
func TestRunRecovers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	said, done, refused := make(chan string, 1000), make(chan error, 1), make(chan error, 10)
	ctx, cancel := context.WithCancel(t.Context())
	tries, watched := 0, make(chan struct{})
	go func() {
		done <- Run(ctx, Options{Paths: []string{path}, Refused: func(err error) { refused <- err }, Open: func() (*fsnotify.Watcher, error) {
			if tries++; tries == 1 {
				return nil, syscall.EMFILE
			}
			w, err := fsnotify.NewWatcher()
			if err == nil && tries == 2 {
				err = w.Close() // refuses each watch
			}
			return w, err
		}}, func() (time.Duration, error) {
			said <- content(path)
			if tries < 3 {
				return Soonest, nil
			}
			if tries == 3 {
				tries++
				close(watched)
			}
			return 0, nil
		})
	}()
	<-watched
	if err := os.WriteFile(path, []byte("new"), 0o600); err != nil {
		t.Fatal(err)
	}
	await(t, "a change after the watch began", said, "new")
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if len(refused) != 1 {
		t.Errorf("%d errors, want 1", len(refused))
	}
}
