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

// State is what holds from now on, and what is wrong with the file.
type State struct {
	Config  Config
	Present bool  // Config is what a file said, not what Absent says
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
	// quiet is how long nothing may have happened to the file before it is read.
	// It may be half of what it is going to be, or be on its way to another name.
	quiet = 50 * time.Millisecond
	// longest is how long that may be put off.
	longest = time.Second
)

// Read looks at the file once. A file that cannot be read or does not parse
// leaves the State as it was but for Err.
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
// until ctx ends. Absent holds until there was a file that parses. The file, and
// its directory, may come and go; a ConfigMap's file, which is a link through a
// directory that is replaced, is followed. changed must not block.
func Watch(ctx context.Context, path string, changed func(State)) error {
	path = filepath.Clean(path)
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch %s: %w", path, err)
	}
	defer func() { _ = watcher.Close() }()
	watch(watcher, path) // first, so that no change falls between
	state := Read(path, State{Config: Absent()})
	changed(state)

	timer := time.NewTimer(state.Config.ResyncInterval)
	defer timer.Stop()
	var first time.Time // of the events that wait to be looked at
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-watcher.Events:
			if !concerns(e.Name, path) {
				continue
			}
			if first.IsZero() {
				first = time.Now()
			}
			timer.Reset(max(0, min(quiet, time.Until(first.Add(longest)))))
		case err := <-watcher.Errors: // events were lost
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
			timer.Reset(state.Config.ResyncInterval)
		}
	}
}

// watch watches the directory of the file, as files are replaced by renaming,
// and the one above it, as directories are, too; or the nearest that exist.
// Watching what is watched already is harmless. Where nothing can be watched the
// resync interval remains.
func watch(watcher *fsnotify.Watcher, path string) {
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
