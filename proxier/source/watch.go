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

	"fairlead/internal/filewatch"
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
	return runFiles(ctx, path, store, nil)
}

func runFiles(ctx context.Context, path string, store *store.Store, open func() (*fsnotify.Watcher, error)) error {
	f := newFiles(path, store)
	o := filewatch.Options{Paths: []string{path}, Open: open, Refused: func(err error) {
		klog.FromContext(ctx).Error(err, "Failed to watch manifests, reading them at an interval: raise fs.inotify.max_user_instances or max_user_watches", "path", path, "interval", filewatch.Interval)
	}}
	delivered := false
	return filewatch.Run(ctx, o, func() (time.Duration, error) {
		if !delivered {
			if err := f.scan(); err != nil {
				return 0, err
			}
			store.Delivered(SourceFiles)
			delivered = true
			return 0, nil
		}
		if !f.look() {
			return filewatch.Soonest, nil
		}
		return 0, nil
	})
}

// look scans a path that existed once. If the path is missing, its objects stay,
// because it is probably being moved. It reports whether all files could be read.
func (f *files) look() bool {
	var problems []objects.Problem
	err := f.scan()
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
