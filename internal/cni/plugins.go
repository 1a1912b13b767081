// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package cni

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// DefaultBinDir is where runtimes look for plugins.
const DefaultBinDir = "/opt/cni/bin"

// Outcome is the result of InstallPlugins for one plugin.
type Outcome string

// The outcomes.
const (
	Installed Outcome = "installed" // there was none, or an unusable one
	Upgraded  Outcome = "upgraded"  // the existing file was older
	Same      Outcome = "same"      // bit by bit
	Newer     Outcome = "newer"     // the existing file is as new or newer and stays
	Unknown   Outcome = "unknown"   // the existing file has no known version and stays
)

// Result describes the outcome for one plugin.
type Result struct {
	Plugin  string
	Outcome Outcome
	Ours    string // version, empty where it is unknown
	Theirs  string // version of the file before
}

// InstallPlugins copies the plugins from one directory to another. It replaces an
// existing file only if that is certainly older, or no program. It goes on after a
// plugin that cannot be installed, and names it in the error.
func InstallPlugins(from, to string, plugins []string) ([]Result, error) {
	if err := os.MkdirAll(to, 0o755); err != nil {
		return nil, fmt.Errorf("install plugins: %w", err)
	}
	var out []Result
	var errs []error
	for _, name := range plugins {
		r, err := installPlugin(from, to, name)
		if err != nil {
			errs = append(errs, fmt.Errorf("install plugin %s: %w", name, err))
			continue
		}
		out = append(out, r)
	}
	return out, errors.Join(errs...)
}

func installPlugin(from, to, name string) (Result, error) {
	if name != filepath.Base(name) || name == "." || name == ".." {
		return Result{}, errors.New("not the name of a file")
	}
	source, target := filepath.Join(from, name), filepath.Join(to, name)
	content, err := os.ReadFile(source)
	if err != nil {
		return Result{}, err
	}
	ours := inspect(content)
	if ours.kind != program {
		return Result{}, fmt.Errorf("%s is not a program of this platform", source)
	}
	r := Result{Plugin: name, Ours: ours.version}
	there, err := os.ReadFile(target) // through a link, as the runtime does
	switch {
	case errors.Is(err, fs.ErrNotExist):
		r.Outcome = Installed
	case err != nil:
		return Result{}, err
	case bytes.Equal(there, content):
		r.Outcome = Same
	default:
		theirs := inspect(there)
		r.Theirs, r.Outcome = theirs.version, decide(ours, theirs)
	}
	switch r.Outcome {
	case Installed, Upgraded:
		err = replace(target, 0o755, bytes.NewReader(content))
	case Same:
		// A copy that was not made executable, by hand perhaps.
		if len(Missing(to, []string{name})) > 0 {
			err = os.Chmod(target, 0o755)
		}
	}
	return r, err
}

// decide compares a program of ours with the file in its place.
func decide(ours, theirs build) Outcome {
	switch {
	case theirs.kind == broken:
		return Installed
	case theirs.version == "" || ours.version == "":
		return Unknown
	case theirs.semver.LT(ours.semver):
		return Upgraded
	}
	return Newer
}
