// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package source

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"
	"k8s.io/klog/v2"

	"fairlead/proxier/objects"
	"fairlead/proxier/store"
)

// SourceFiles is the name under which RunFiles delivers to a Store.
const SourceFiles = "files"

// readAll reads all files once. It returns an error for each file and object that cannot
// be read.
func (f *files) readAll() error {
	if err := f.scan(); err != nil {
		return err
	}
	var errs []error
	for name, file := range f.byName {
		if file.err != nil {
			errs = append(errs, fmt.Errorf("read %s: %w", name, file.err))
		}
		for _, p := range file.unread {
			errs = append(errs, fmt.Errorf("read %s: %s", name, p))
		}
	}
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(errs...)
}

// RunFiles reads like ReadFiles, then follows every change until ctx ends. A file is
// applied as a whole or not at all. A file that does not parse is reported and keeps
// its last valid content. Call Store.Expect(SourceFiles) before.
//
// If the kernel tells of no changes, because other programs of the same user watch as much as
// they may, RunFiles reads the files at an interval.
func RunFiles(ctx context.Context, path string, store *store.Store) error {
	return runFiles(ctx, path, store, fsnotify.NewWatcher)
}

func runFiles(ctx context.Context, path string, store *store.Store, open func() (*fsnotify.Watcher, error)) error {
	f := newFiles(path, store)
	watcher, full := open()
	if full != nil {
		watcher, f.unwatched = &fsnotify.Watcher{}, true // nothing comes from it
	} else {
		defer func() { _ = watcher.Close() }()
		if err := f.watch(watcher); isFull(err) {
			full = err
		} else if err != nil {
			return err
		}
	}
	if full != nil {
		klog.FromContext(ctx).Error(full, "Failed to watch manifests, reading them at an interval: raise fs.inotify.max_user_instances or max_user_watches", "path", path, "interval", again)
	}
	if err := f.scan(); err != nil {
		return err
	}
	store.Delivered(SourceFiles)
	return f.follow(ctx, watcher)
}

// isFull reports whether the kernel takes no more watches.
func isFull(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.ENOMEM) }

const (
	// renamed is how long RunFiles waits for further changes after a file appeared
	// whole, by renaming.
	renamed = 5 * time.Millisecond
	// written is how long a file must be free of writes and removals before it is
	// read, because it may be written in part only.
	written = 50 * time.Millisecond
	// longest bounds the sum of these waits.
	longest = time.Second
	// again is the interval at which all files are checked without any event.
	// Targets of links and files that the kernel does not watch may change.
	again = 10 * time.Second
	// sooner replaces again while some file cannot be read.
	sooner = time.Second
)

// watch watches directories, because files are replaced by renaming. The files of a
// ConfigMap are links through a directory that is replaced in the same way. The
// directory itself may be replaced, so watch also watches its parent, or the nearest
// one that exists. Watching a directory twice is harmless.
func (f *files) watch(watcher *fsnotify.Watcher) error {
	err := watcher.Add(f.dir)
	for dir := f.dir; dir != filepath.Dir(dir); {
		if dir = filepath.Dir(dir); watcher.Add(dir) == nil {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("watch %s: %w", f.dir, err)
	}
	return nil
}

func (f *files) follow(ctx context.Context, watcher *fsnotify.Watcher) error {
	log := klog.FromContext(ctx)
	timer := time.NewTimer(again)
	defer timer.Stop()
	var first, due time.Time // of the events that wait to be handled
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-watcher.Events:
			wait := f.wait(e)
			if wait == 0 {
				continue
			}
			now := time.Now()
			if first.IsZero() {
				first, due = now, now
			}
			if at := now.Add(wait); at.After(due) {
				due = at
			}
			if last := first.Add(longest); due.After(last) {
				due = last
			}
			timer.Reset(time.Until(due))
		case err := <-watcher.Errors:
			log.Error(err, "Watch manifests; looking at all again", "path", f.path)
			timer.Reset(renamed)
		case <-timer.C:
			first, due = time.Time{}, time.Time{}
			if f.look(watcher) {
				timer.Reset(again)
			} else {
				timer.Reset(sooner)
			}
		}
	}
}

// wait returns how long to wait before an event is handled; 0 means never.
func (f *files) wait(e fsnotify.Event) time.Duration {
	inside := filepath.Dir(e.Name) == filepath.Clean(f.dir)
	ours := inside && f.isManifest(filepath.Base(e.Name))
	switch {
	case ours && (e.Has(fsnotify.Write) || e.Has(fsnotify.Remove) || e.Has(fsnotify.Rename)):
		return written
	case ours, inside && !e.Has(fsnotify.Write), above(e.Name, f.dir):
		return renamed
	}
	return 0
}

// above reports whether dir is, or is below, path.
func above(path, dir string) bool {
	rel, err := filepath.Rel(path, dir)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, "../")
}

// look scans a path that existed once. If the path is missing, its objects stay,
// because it is probably being moved. It reports whether all files could be read.
func (f *files) look(watcher *fsnotify.Watcher) bool {
	var problems []objects.Problem
	var err error
	if !f.unwatched {
		err = f.watch(watcher)
	}
	if err == nil || isFull(err) {
		err = f.scan()
	}
	if err != nil {
		r := objects.NewReport(objects.KindFile, f.path)
		r.Add("", "%v; what it said before stays in force", err)
		problems = r.Problems
		if file := f.byName[f.path]; file != nil {
			file.version = version{} // to be read, and its problems set, once it is back
		}
	}
	if f.dir == f.path || err != nil { // a file reports for itself
		f.store.Update(func(tx *store.Tx) { tx.SetProblems(objects.KindFile, f.path, problems) })
	}
	for _, file := range f.byName {
		if file.err != nil && errors.Is(file.err, errUnread) {
			return false
		}
	}
	return err == nil
}

// isManifest reports whether a file's name is that of a manifest.
func (f *files) isManifest(name string) bool {
	if f.dir != f.path {
		return name == filepath.Base(f.path)
	}
	if strings.HasPrefix(name, ".") {
		return false
	}
	switch filepath.Ext(name) {
	case ".yaml", ".yml", ".json":
		return true
	}
	return false
}

// list returns the manifests, sorted by name. A missing path is an error, and an
// empty directory is valid.
func (f *files) list() ([]string, error) {
	info, err := os.Stat(f.path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []string{f.path}, nil
	}
	entries, err := os.ReadDir(f.path)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range entries {
		if name := filepath.Join(f.path, e.Name()); f.isManifest(e.Name()) && !isDir(e, name) {
			out = append(out, name)
		}
	}
	return out, nil
}

// isDir follows links.
func isDir(e fs.DirEntry, name string) bool {
	if e.Type()&fs.ModeSymlink == 0 {
		return e.IsDir()
	}
	info, err := os.Stat(name)
	return err == nil && info.IsDir()
}
