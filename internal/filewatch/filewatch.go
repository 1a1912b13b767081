// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package filewatch tells when files or directories may have changed: by inotify, and at an
// interval where the kernel tells of no changes.
package filewatch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// Interval is the longest time between two looks. Targets of links and files that the
	// kernel does not watch may change without an event.
	Interval = 10 * time.Second
	// Soonest is the least time from one look to the next without an event.
	Soonest = time.Second
	// quiet is how long there must be no event before a look, because a file may be written
	// in part only, or be on its way to another name.
	quiet = 50 * time.Millisecond
	// longest bounds the delay by quiet.
	longest = time.Second
)

// Options say what to watch.
type Options struct {
	// Paths are files and directories. Each may come and go, and so may the directories above.
	Paths []string
	// Refused gets the first error of the kernel that leaves changes unannounced, usually
	// because other programs of the same user watch as much as they may. It must not block.
	Refused func(error)
	// Open replaces fsnotify.NewWatcher in tests; nil otherwise.
	Open func() (*fsnotify.Watcher, error)
}

// Run calls look at once and whenever a path may have changed, until ctx ends. Then it returns nil.
// It returns an error of look. look says how soon it wants to be called again without an event:
// between Soonest and Interval, which 0 stands for.
func Run(ctx context.Context, o Options, look func() (time.Duration, error)) error {
	f := follower{Options: o, dirs: map[string]bool{}}
	if f.Open == nil {
		f.Open = fsnotify.NewWatcher
	}
	defer f.close()
	timer := time.NewTimer(0)
	defer timer.Stop()
	var first time.Time // of the events that wait to be handled
	for {
		events, lost := f.channels()
		select {
		case <-ctx.Done():
			return nil
		case e, ok := <-events:
			switch {
			case !ok:
				f.close()
			case f.concerns(e):
				if first.IsZero() {
					first = time.Now()
				}
				timer.Reset(max(0, min(quiet, time.Until(first.Add(longest)))))
			}
		case _, ok := <-lost: // events, or the watcher
			if !ok {
				f.close()
			}
			timer.Reset(quiet)
		case <-timer.C:
			first = time.Time{}
			f.watch() // first, so that no change falls between
			next, err := look()
			if err != nil {
				return err
			}
			if next == 0 {
				next = Interval
			}
			timer.Reset(min(max(next, Soonest), Interval))
		}
	}
}

// follower holds the state of Run.
type follower struct {
	Options
	watcher *fsnotify.Watcher // nil if the kernel gives none
	dirs    map[string]bool   // the paths that are directories
	told    bool              // Refused was called
}

func (f *follower) close() {
	if f.watcher != nil {
		_ = f.watcher.Close()
		f.watcher = nil
	}
}

// channels returns those of the watcher. Nothing comes from those of none.
func (f *follower) channels() (<-chan fsnotify.Event, <-chan error) {
	if f.watcher == nil {
		return nil, nil
	}
	return f.watcher.Events, f.watcher.Errors
}

// watch watches the directory of each path and its parent, because files and directories are
// replaced by renaming. The files of a ConfigMap are links through a directory that is replaced in
// the same way. If they are missing it watches the nearest ones that exist. Watching a directory
// twice is harmless. What the kernel refused is tried again with each call.
func (f *follower) watch() {
	if f.watcher == nil {
		watcher, err := f.Open()
		if err != nil {
			f.refuse(err)
			return
		}
		f.watcher = watcher
	}
	for _, path := range f.Paths {
		path = filepath.Clean(path)
		info, err := os.Stat(path)
		f.dirs[path] = err == nil && info.IsDir()
		dir := filepath.Dir(path)
		if f.dirs[path] {
			dir = path
		}
		for added := 0; added < 2; dir = filepath.Dir(dir) {
			switch err := f.watcher.Add(dir); {
			case err == nil:
				added++
			case !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR):
				f.refuse(fmt.Errorf("watch %s: %w", dir, err))
			}
			if dir == filepath.Dir(dir) {
				break
			}
		}
	}
}

func (f *follower) refuse(err error) {
	if !f.told && f.Refused != nil {
		f.Refused(err)
	}
	f.told = true
}

// concerns reports whether an event may be about a path: it happened to it, to a directory above
// it, in it, or beside it if it is a file, which may be a link. Writing to another file is none.
func (f *follower) concerns(e fsnotify.Event) bool {
	name := filepath.Clean(e.Name)
	for _, path := range f.Paths {
		path = filepath.Clean(path)
		if above(name, path) || filepath.Dir(name) == path {
			return true
		}
		if !f.dirs[path] && filepath.Dir(name) == filepath.Dir(path) && (e.Op&^(fsnotify.Write|fsnotify.Chmod)) != 0 {
			return true
		}
	}
	return false
}

// above reports whether path is, or is below, dir.
func above(dir, path string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, "../")
}
