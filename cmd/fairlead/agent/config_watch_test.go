// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsnotify/fsnotify"
)

// TestConfigWatch: a change ends the agent, however the file is replaced.
func TestConfigWatch(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.conf")
	if err := os.WriteFile(path, []byte("a"), 0o600); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- watchConfig(t.Context(), map[string][]byte{path: []byte("a")}) }()
	other := path + ".new"
	for _, write := range []func() error{
		func() error { return os.WriteFile(path+".x", []byte("b"), 0o600) },
		func() error { return overwrite(path, "a") },
	} {
		if err := write(); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case err := <-done:
		t.Fatalf("ends without a change: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	if err := errors.Join(os.WriteFile(other, []byte("b"), 0o600), os.Rename(other, path)); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, errConfigChanged) {
		t.Errorf("error %v", err)
	}
	// What has changed before it is watched counts, too.
	if err := watchConfig(t.Context(), map[string][]byte{path: []byte("a")}); !errors.Is(err, errConfigChanged) {
		t.Errorf("error %v", err)
	}
}

// TestConfigDirectory: the directory of the file is a link that leads elsewhere.
func TestConfigDirectory(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	if err := errors.Join(
		os.Mkdir(in("a"), 0o700), os.WriteFile(in("a/file"), []byte("a"), 0o600),
		os.Mkdir(in("b"), 0o700), os.WriteFile(in("b/file"), []byte("b"), 0o600), os.Symlink("a", in("config")),
	); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	opened := make(chan *fsnotify.Watcher, 1)
	go func() {
		done <- watchConfigWith(t.Context(), map[string][]byte{in("config/file"): []byte("a")}, func() (*fsnotify.Watcher, error) {
			w, err := fsnotify.NewWatcher()
			opened <- w
			return w, err
		})
	}()
	w := <-opened
	for end := time.Now().Add(30 * time.Second); !slices.Contains(w.WatchList(), in("config")); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the directory is not watched")
		}
	}
	if err := errors.Join(os.Symlink("b", in("link")), os.Rename(in("link"), in("config"))); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		if !errors.Is(err, errConfigChanged) {
			t.Errorf("error %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Error("nothing was noticed")
	}
}

// TestConfigUnwatched: the kernel has no room for one more watch.
func TestConfigUnwatched(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.conf")
	if err := os.WriteFile(path, []byte("a"), 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		done := make(chan error, 1)
		go func() {
			done <- watchConfigWith(t.Context(), map[string][]byte{path: []byte("a")}, func() (*fsnotify.Watcher, error) { return nil, syscall.EMFILE })
		}()
		synctest.Wait()
		if err := os.WriteFile(path, []byte("b"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := <-done; !errors.Is(err, errConfigChanged) {
			t.Errorf("error %v", err)
		}
	})
}

// overwrite writes to a file without a moment in which it is empty, as os.WriteFile has.
func overwrite(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}
