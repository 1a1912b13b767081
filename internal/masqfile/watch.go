// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package masqfile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

// State holds the settings in force, and the error of the file.
type State struct {
	Config  Config
	Present bool  // Config comes from a file and not from Absent
	Err     error // why the file is not in force; it names the path
}

func (s State) equal(o State) bool {
	return s.Present == o.Present && s.Config.Equal(o.Config) && text(s.Err) == text(o.Err)
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

const (
	// quiet is how long the file must be unchanged before it is read, because it
	// may be written in part only, or be on its way to another name.
	quiet = 50 * time.Millisecond
	// longest bounds the delay by quiet.
	longest = time.Second
	// leastResync is how long the file is not read again without any event, whatever it says.
	leastResync = time.Second
)

// Read reads the file once. For a file that cannot be read or does not parse it returns
// the State before with a new Err.
func Read(path string, before State) State {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return State{Config: Absent()}
	}
	if err == nil {
		var c Config
		if c, err = Parse(data); err == nil {
			return State{Config: c, Present: true}
		}
		err = fmt.Errorf("parse %s: %w", path, err)
	}
	before.Err = err
	return before
}

// Watch calls changed at once and whenever the State differs from the last one,
// until ctx ends. Absent holds until the first file that parses. The file and its
// directory may come and go. Watch follows a ConfigMap's file, which is a link through
// a directory that is replaced. changed must not block. If the kernel tells of no changes,
// because other programs of the same user watch as much as they may, refused gets the error,
// and the resync interval remains. Watch returns nil.
func Watch(ctx context.Context, path string, changed func(State), refused func(error)) error {
	return watchWith(ctx, path, changed, refused, fsnotify.NewWatcher)
}

func watchWith(ctx context.Context, path string, changed func(State), refused func(error), open func() (*fsnotify.Watcher, error)) error {
	path = filepath.Clean(path)
	watcher, err := open()
	if err != nil {
		refused(fmt.Errorf("watch %s: %w", path, err))
		watcher = nil
	} else {
		defer func() { _ = watcher.Close() }()
	}
	events, lost := channels(watcher)

	watch(watcher, path) // first, so that no change falls between
	state := Read(path, State{Config: Absent()})
	changed(state)
	timer := time.NewTimer(resync(&state))
	defer timer.Stop()
	var first time.Time // of the events that wait to be handled
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-events:
			if !concerns(e.Name, path) {
				continue
			}
			if first.IsZero() {
				first = time.Now()
			}
			timer.Reset(max(0, min(quiet, time.Until(first.Add(longest)))))
		case err := <-lost: // events were lost
			if err != nil {
				timer.Reset(0)
			}
		case <-timer.C:
			first = time.Time{}
			watch(watcher, path)
			now := Read(path, state)
			if !now.equal(state) {
				changed(now)
			}
			state = now
			timer.Reset(resync(&state))
		}
	}
}

// resync returns when to read the file without any event.
func resync(s *State) time.Duration { return max(s.Config.ResyncInterval, leastResync) }

// channels returns those of a watcher. Nothing comes from those of none.
func channels(w *fsnotify.Watcher) (<-chan fsnotify.Event, <-chan error) {
	if w == nil {
		return nil, nil
	}
	return w.Events, w.Errors
}

// watch watches the directory of the file and its parent, because files and directories
// are replaced by renaming. If they are missing it watches the nearest ones that exist.
// Watching a directory twice is harmless. If no directory can be watched, the resync
// interval remains, and so it does without a watcher.
func watch(watcher *fsnotify.Watcher, path string) {
	if watcher == nil {
		return
	}
	for dir, added := filepath.Dir(path), 0; added < 2; dir = filepath.Dir(dir) {
		if watcher.Add(dir) == nil {
			added++
		}
		if dir == filepath.Dir(dir) {
			return
		}
	}
}

// concerns reports whether an event may be about the file: it happened in its
// directory, or to a directory above it.
func concerns(event, path string) bool {
	event = filepath.Clean(event)
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		if event == dir {
			return true
		}
		if dir == filepath.Dir(dir) {
			return filepath.Dir(event) == filepath.Dir(path)
		}
	}
}
