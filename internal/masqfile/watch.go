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

	"fairlead/internal/filewatch"
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
// refused gets the error. The file is read at its resync interval as well, which counts as
// between filewatch.Soonest and filewatch.Interval. Watch returns nil.
func Watch(ctx context.Context, path string, changed func(State), refused func(error)) error {
	return watchWith(ctx, filewatch.Options{Paths: []string{path}, Refused: refused}, changed)
}

func watchWith(ctx context.Context, o filewatch.Options, changed func(State)) error {
	path := filepath.Clean(o.Paths[0])
	state, read := State{Config: Absent()}, false
	return filewatch.Run(ctx, o, func() (time.Duration, error) {
		now := Read(path, state)
		if !read || !now.equal(state) {
			changed(now)
		}
		state, read = now, true
		return max(state.Config.ResyncInterval, filewatch.Soonest), nil
	})
}
