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
		for key, it := range file.items {
			if it.Unread {
				errs = append(errs, fmt.Errorf("read %s: %s %s cannot be decoded", name, key.Kind, objects.Printable(key.Name)))
			}
		}
	}
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(errs...)
}

// RunFiles is ReadFiles, and follows every change until ctx ends. A file is
// applied at once or not at all; one that does not parse keeps what it last
// said and is reported. Call Store.Expect(SourceFiles) before.
func RunFiles(ctx context.Context, path string, store *store.Store) error {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch %s: %w", path, err)
	}
	defer func() { _ = watcher.Close() }()
	f := newFiles(path, store)
	if err := f.watch(watcher); err != nil {
		return err
	}
	if err := f.scan(); err != nil {
		return err
	}
	store.Delivered(SourceFiles)
	return f.follow(ctx, watcher)
}

const (
	// renamed is how long more of the same may follow a file that appeared
	// whole, by renaming.
	renamed = 5 * time.Millisecond
	// written is how long nobody may have written to a file, or have taken it
	// away, before it is read: it may be half of what it is going to be.
	written = 50 * time.Millisecond
	// longest is how long the two may add up to.
	longest = time.Second
	// again is how often all files are looked at without any event: what links
	// lead to may change, and so may files that the kernel does not watch.
	again = 10 * time.Second
	// sooner is the same while something cannot be read.
	sooner = time.Second
)

// watch watches directories, as files are replaced by renaming. That holds for
// a ConfigMap, too, whose files are links through a directory that is. A
// directory itself may be replaced: so the one above it is watched as well, or
// while that is gone the next one that is there. Watching what is watched
// already is harmless.
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
	var first, due time.Time // of the events that wait to be looked at
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

// wait returns how long to wait before an event is looked at, 0 for never.
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

// look is scan for a path that was there once. Should it be gone, its objects
// stay: somebody is moving it about. It reports whether all could be read.
func (f *files) look(watcher *fsnotify.Watcher) bool {
	var problems []objects.Problem
	err := f.watch(watcher)
	if err == nil {
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

// isManifest tells by its name whether a file of the directory is one.
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

// list returns the manifests, sorted by name. A path that is not there is an
// error; in a directory that is there, there may be none.
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
