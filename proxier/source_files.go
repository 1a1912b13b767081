// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
	"k8s.io/klog/v2"
)

// SourceFiles is the name under which RunFiles delivers to a Store.
const SourceFiles = "files"

// ReadFiles puts the objects of a manifest file, or of the manifests in a
// directory, in the store, once.
func ReadFiles(path string, store *Store) error {
	f := newFiles(path, store)
	return f.scan()
}

// RunFiles is ReadFiles, and follows every change until ctx ends. A file is
// applied at once or not at all; one that does not parse keeps what it last
// said and is reported. Call Store.Expect(SourceFiles) before.
func RunFiles(ctx context.Context, path string, store *Store) error {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch %s: %w", path, err)
	}
	defer func() { _ = watcher.Close() }()
	f := newFiles(path, store)
	// The directory is watched, as files are replaced by renaming. That holds
	// for a ConfigMap, too, whose files are links through a directory that is.
	if err := watcher.Add(f.dir); err != nil {
		return fmt.Errorf("watch %s: %w", f.dir, err)
	}
	if err := f.scan(); err != nil {
		return err
	}
	store.Delivered(SourceFiles)
	return f.follow(ctx, watcher)
}

// settle is how long a change may be followed by more of the same.
const settle = 5 * time.Millisecond

func (f *files) follow(ctx context.Context, watcher *fsnotify.Watcher) error {
	log := klog.FromContext(ctx)
	var due <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case _, ok := <-watcher.Events:
			if !ok {
				return fmt.Errorf("watch %s: ended", f.dir)
			}
			if due == nil {
				due = time.After(settle)
			}
		case err := <-watcher.Errors:
			log.Error(err, "Watching manifests; reading all again", "path", f.dir)
			due = time.After(settle)
		case <-due:
			due = nil
			if err := f.scan(); err != nil {
				log.Error(err, "Read manifests", "path", f.path)
			}
		}
	}
}

// files remembers what each file said last. Not safe for concurrent use.
type files struct {
	path, dir string
	store     *Store
	seen      map[string]version                // by file name
	items     map[string][]item                 // what each file says
	holders   map[objectKey]map[string]struct{} // the files that have it
}

// version tells whether a file may have changed.
type version struct {
	modified time.Time
	size     int64
	inode    any
}

func newFiles(path string, store *Store) *files {
	f := &files{
		path: path, dir: path, store: store,
		seen: map[string]version{}, items: map[string][]item{},
		holders: map[objectKey]map[string]struct{}{},
	}
	if info, err := os.Stat(path); err == nil && !info.IsDir() {
		f.dir = filepath.Dir(path)
	}
	return f
}

// scan looks at all files and applies those that changed.
func (f *files) scan() error {
	names, err := f.list()
	if err != nil {
		return fmt.Errorf("read manifests: %w", err)
	}
	present := map[string]struct{}{}
	for _, name := range names {
		present[name] = struct{}{}
		f.readIfChanged(name)
	}
	for _, name := range slices.Sorted(maps.Keys(f.seen)) {
		if _, ok := present[name]; !ok {
			delete(f.seen, name)
			f.apply(name, nil, nil)
		}
	}
	return nil
}

// list returns the manifests, sorted by name.
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
		if strings.HasPrefix(e.Name(), ".") || e.IsDir() {
			continue
		}
		switch filepath.Ext(e.Name()) {
		case ".yaml", ".yml", ".json":
			out = append(out, filepath.Join(f.path, e.Name()))
		}
	}
	return out, nil
}

func (f *files) readIfChanged(name string) {
	info, err := os.Stat(name)
	if err != nil {
		f.complain(name, err)
		return
	}
	now := version{info.ModTime(), info.Size(), inode(info)}
	if f.seen[name] == now {
		return
	}
	f.seen[name] = now
	data, err := os.ReadFile(name)
	if err != nil {
		f.complain(name, err)
		return
	}
	items, err := parseManifest(data)
	if err != nil {
		f.complain(name, err)
		return
	}
	f.apply(name, items, nil)
}

// complain reports a file and leaves what it said last.
func (f *files) complain(name string, err error) {
	f.store.Update(func(tx *Tx) {
		tx.SetProblems(kindFile, name, []Problem{{Kind: kindFile, Name: name, Text: err.Error() + "; what it said before stays in force"}})
	})
}

// apply makes items all that the file says, in one update of the store.
func (f *files) apply(name string, items []item, problems []Problem) {
	before := f.items[name]
	f.items[name] = items
	if items == nil {
		delete(f.items, name)
	}
	touched := map[objectKey]struct{}{}
	for _, it := range before {
		touched[it.key] = struct{}{}
		delete(f.holders[it.key], name)
	}
	for _, it := range items {
		touched[it.key] = struct{}{}
		if f.holders[it.key] == nil {
			f.holders[it.key] = map[string]struct{}{}
		}
		f.holders[it.key][name] = struct{}{}
	}
	f.store.Update(func(tx *Tx) {
		for key := range touched {
			f.settleOwner(tx, key)
		}
		tx.SetProblems(kindFile, name, problems)
	})
}

// settleOwner takes an object from the first of the files that have it.
func (f *files) settleOwner(tx *Tx, key objectKey) {
	names := slices.Sorted(maps.Keys(f.holders[key]))
	if len(names) == 0 {
		delete(f.holders, key)
		key.drop(tx)
		return
	}
	list := f.items[names[0]]
	// Within a file the last one counts, as if each were applied in turn.
	for i := len(list) - 1; i >= 0; i-- {
		if list[i].key != key {
			continue
		}
		it := list[i]
		for _, other := range names[1:] {
			it.problems = append(slices.Clip(it.problems), Problem{
				Kind: key.kind, Name: key.name, Text: fmt.Sprintf("is in %s, too, which is ignored in favour of %s", other, names[0]),
			})
		}
		it.put(tx)
		return
	}
}
