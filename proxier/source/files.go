// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package source

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"fairlead/proxier/objects"
	"fairlead/proxier/store"
)

// files remembers the last valid content of each file. It is not safe for
// concurrent use.
type files struct {
	path, dir string // the same where the path is a directory
	// once is set if the files are read once: what cannot be read is an error then, and no
	// problem in the store.
	once bool

	store   *store.Store
	byName  map[string]*file
	holders map[objects.Key][]string // the files that have an object, sorted
}

// file holds the known state of one file.
type file struct {
	version version
	items   map[objects.Key]*objects.Object
	err     error             // why items differ from the file's content
	unread  []objects.Problem // of objects that could not be decoded, if it is read once
	unknown []Unknown
}

// version shows whether a file may have changed.
type version struct {
	modified time.Time
	size     int64
	inode    uint64
}

func newFiles(path string, store *store.Store) *files {
	f := &files{path: path, dir: path, store: store, byName: map[string]*file{}, holders: map[objects.Key][]string{}}
	if info, err := os.Stat(path); err == nil && !info.IsDir() {
		f.dir = filepath.Dir(path)
	}
	return f
}

// scan checks all files and applies those that changed in one update of the store, so
// that an object that moves to another file stays present throughout.
func (f *files) scan() error {
	names, err := f.list()
	if err != nil {
		return fmt.Errorf("read manifests: %w", err)
	}
	touched := map[objects.Key]struct{}{}
	problems := map[string][]objects.Problem{}
	for _, name := range names {
		if f.byName[name] == nil {
			f.byName[name] = &file{}
		}
		if f.read(name, touched) {
			problems[name] = f.problems(name)
		}
	}
	for name := range f.byName {
		if _, still := slices.BinarySearch(names, name); !still {
			f.replace(name, nil, touched)
			delete(f.byName, name)
			problems[name] = nil
		}
	}
	if len(problems) == 0 {
		return nil
	}
	f.store.Update(func(tx *store.Tx) {
		for key := range touched {
			f.settle(tx, key)
		}
		for name, list := range problems {
			tx.SetProblems(objects.KindFile, name, list)
		}
	})
	return nil
}

// read reads a file that changed, and reports whether it did. An invalid file keeps
// its last valid content.
func (f *files) read(name string, touched map[objects.Key]struct{}) bool {
	file := f.byName[name]
	now, err := versionOf(name)
	if err == nil && file.version == now {
		return false
	}
	file.version = version{} // until it was read
	var list []objects.Object
	if err == nil {
		list, err = f.parse(name)
	}
	file.err = err
	if err == nil || !errors.Is(err, errUnread) {
		file.version = now
	}
	if err == nil {
		if f.once {
			list, file.unread = decoded(list)
		}
		f.replace(name, list, touched)
	}
	return true
}

// decoded returns the objects that could be decoded, and the problems of the others.
func decoded(list []objects.Object) (good []objects.Object, unread []objects.Problem) {
	for i := range list {
		if list[i].Unread {
			unread = append(unread, list[i].Problems...)
		} else {
			good = append(good, list[i])
		}
	}
	return good, unread
}

// errUnread marks errors that may pass without any change of the file.
var errUnread = errors.New("cannot be read")

func (f *files) parse(name string) ([]objects.Object, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUnread, pathless(err))
	}
	if len(bytes.TrimSpace(data)) == 0 && len(f.byName[name].items) > 0 {
		if f.dir != f.path {
			return nil, errors.New("is empty; an empty List takes its objects away")
		}
		return nil, errors.New("is empty; remove the file to take its objects away")
	}
	p := &parser{}
	items, err := p.parse(data)
	f.byName[name].unknown = p.unknown
	return items, err
}

// versionOf follows links. It refuses files that block on reading.
func versionOf(name string) (version, error) {
	info, err := os.Stat(name)
	if err != nil {
		return version{}, fmt.Errorf("%w: %w", errUnread, pathless(err))
	}
	if !info.Mode().IsRegular() {
		return version{}, fmt.Errorf("%w: not a regular file", errUnread)
	}
	v := version{modified: info.ModTime(), size: info.Size()}
	// Two files may be written within one tick of the clock and have one size.
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		v.inode = stat.Ino
	}
	return v, nil
}

// pathless leaves the path out of an error of os: the problem has it.
func pathless(err error) error {
	if e := (*fs.PathError)(nil); errors.As(err, &e) {
		return e.Err
	}
	return err
}

func (f *files) problems(name string) []objects.Problem {
	file := f.byName[name]
	if file.err == nil || f.once {
		return nil
	}
	r := objects.NewReport(objects.KindFile, name)
	if len(file.items) > 0 {
		r.Add("", "%v; what it said before stays in force", file.err)
	} else {
		r.Add("", "%v; nothing of it is in force", file.err)
	}
	return r.Problems
}

// replace makes list the whole content of a file, and adds the keys that this may
// change to touched. Within a file the last object of a name counts, as if each were
// applied in turn. An object that could not be decoded keeps its last valid form.
func (f *files) replace(name string, list []objects.Object, touched map[objects.Key]struct{}) {
	before := f.byName[name].items
	now := make(map[objects.Key]*objects.Object, len(list))
	for i := range list {
		it := &list[i]
		if now[it.Key] != nil {
			it.Problems = append(slices.Clip(it.Problems), it.Key.Problem("is in %s more than once; the last one counts", name))
		}
		if was := before[it.Key]; it.Unread && was != nil {
			it.Service, it.Slice, it.Node, it.CIDR, it.Pod = was.Service, was.Slice, was.Node, was.CIDR, was.Pod
		}
		now[it.Key] = it
	}
	for key, it := range now {
		if was := before[key]; was == nil {
			f.hold(key, name)
		} else if was.Equal(it) {
			now[key] = was // the copy that the store has
			continue
		}
		touched[key] = struct{}{}
	}
	for key := range before {
		if now[key] == nil {
			f.release(key, name)
			touched[key] = struct{}{}
		}
	}
	f.byName[name].items = now
}

func (f *files) hold(key objects.Key, name string) {
	names := f.holders[key]
	i, _ := slices.BinarySearch(names, name)
	f.holders[key] = slices.Insert(names, i, name)
}

func (f *files) release(key objects.Key, name string) {
	names := f.holders[key]
	if i, ok := slices.BinarySearch(names, name); ok {
		f.holders[key] = slices.Delete(names, i, i+1)
	}
	if len(f.holders[key]) == 0 {
		delete(f.holders, key)
	}
}

// settle takes an object from the first of the files that have it.
func (f *files) settle(tx *store.Tx, key objects.Key) {
	names := f.holders[key]
	if len(names) == 0 {
		tx.DropFile(key)
		return
	}
	it := f.byName[names[0]].items[key]
	if len(names) > 1 {
		copied := *it
		it = &copied
	}
	for _, other := range names[1:] {
		it.Problems = append(slices.Clip(it.Problems), key.Problem("is in %s, too, which is ignored in favour of %s", other, names[0]))
	}
	tx.PutFile(it)
}
