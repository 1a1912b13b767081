// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package cni

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

const (
	// DefaultDir is where runtimes look for conflists.
	DefaultDir = "/etc/cni/net.d"
	// DefaultFile is the conflist's name there. Runtimes take the first one.
	DefaultFile = "10-fairlead.conflist"
)

// Install writes the given text to file with mode 0644, atomically, unless it is there
// already. It reports whether it wrote the file, and makes the directory if needed.
func Install(file string, text []byte) (written bool, err error) {
	if !Considers(file) {
		return false, fmt.Errorf("install conflist: %s does not end in .conflist: no runtime would read it", file)
	}
	if have, err := os.ReadFile(file); err == nil && bytes.Equal(have, text) && isPlain(file, 0o644) {
		return false, nil
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return false, fmt.Errorf("install conflist: %w", err)
	}
	if err := replace(file, 0o644, bytes.NewReader(text)); err != nil {
		return false, fmt.Errorf("install conflist: %w", err)
	}
	return true, nil
}

// Remove deletes the conflist, so that the runtime starts no more pods on this node.
// Running pods keep their network. It reports whether there was a conflist.
func Remove(file string) (removed bool, err error) {
	err = os.Remove(file)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("remove conflist: %w", err)
	}
	return true, syncDir(filepath.Dir(file))
}

// Rival is a configuration that the runtime uses instead of ours.
type Rival struct {
	File    string // with its directory
	Network string // its name, empty when it cannot be read
	Err     error  // why it cannot be read: then the runtime has no network at all
}

// String describes the problem and its solution.
func (r Rival) String() string {
	what := fmt.Sprintf("%s (network %q) sorts before the conflist of fairlead, so that new pods are connected by it", r.File, r.Network)
	if r.Err != nil {
		what = fmt.Sprintf("%s sorts before the conflist of fairlead and cannot be used (%v), so that the runtime starts no pods", r.File, r.Err)
	}
	return what + "; if nobody needs it: mv " + r.File + " " + r.File + ".disabled"
}

// Rivals returns the configurations in the directory of file whose names sort
// before it. containerd takes the first one in lexical order, valid or not, and
// CRI-O the first valid one, unless its configuration names a network.
func Rivals(file string) ([]Rival, error) {
	entries, err := os.ReadDir(filepath.Dir(file)) // sorted
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for other conflists: %w", err)
	}
	var out []Rival
	for _, e := range entries {
		if e.Name() >= filepath.Base(file) || !Considers(e.Name()) || e.IsDir() {
			continue
		}
		r := Rival{File: filepath.Join(filepath.Dir(file), e.Name())}
		r.Network, r.Err = networkName(r.File)
		out = append(out, r)
	}
	return out, nil
}

func networkName(file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	var c struct {
		Name string `json:"name"`
	}
	if err := json.Unmarshal(text, &c); err != nil {
		return "", err
	}
	return c.Name, nil
}

// Considers reports whether runtimes consider a file of that name, by its ending.
func Considers(name string) bool {
	return slices.Contains([]string{".conf", ".conflist", ".json"}, filepath.Ext(name))
}

// isPlain reports whether file is a regular file, no link, with that mode.
func isPlain(file string, mode fs.FileMode) bool {
	info, err := os.Lstat(file)
	return err == nil && info.Mode() == mode
}

// replace gives file a content and a mode, or leaves it unchanged. It also removes the
// temporary files of an agent that was killed half-way.
func replace(file string, mode fs.FileMode, content io.Reader) (err error) {
	dir := filepath.Dir(file)
	pattern := "." + filepath.Base(file) + ".*.tmp" // no runtime reads .tmp
	if left, err := filepath.Glob(filepath.Join(dir, pattern)); err == nil {
		for _, name := range left {
			_ = os.Remove(name)
		}
	}
	defer func() { err = withoutRandom(err, file) }()
	tmp, err := os.CreateTemp(dir, pattern)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(tmp.Name()))
		}
	}()
	_, err = io.Copy(tmp, content)
	// Chmod because the mode that a file is made with is subject to umask.
	err = errors.Join(err, tmp.Chmod(mode), tmp.Sync(), tmp.Close())
	if err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), file); err != nil {
		return err
	}
	return syncDir(dir)
}

// withoutRandom returns the first error of the system in err with the name of file in place of
// the temporary one. That differs each time, so each retry would be another problem.
func withoutRandom(err error, file string) error {
	var path *fs.PathError
	var link *os.LinkError
	switch {
	case errors.As(err, &link):
		return &fs.PathError{Op: link.Op, Path: file, Err: link.Err}
	case errors.As(err, &path):
		return &fs.PathError{Op: path.Op, Path: file, Err: path.Err}
	}
	return err
}

// syncDir makes a rename last through a power cut.
func syncDir(name string) error {
	dir, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// Missing returns the plugins that dir lacks as programs.
func Missing(dir string, plugins []string) []string {
	return slices.DeleteFunc(slices.Clone(plugins), func(name string) bool {
		info, err := os.Stat(filepath.Join(dir, name))
		return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
	})
}
