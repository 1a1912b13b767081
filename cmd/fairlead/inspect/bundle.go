// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"

	"fairlead/cmd/fairlead/view"
	"fairlead/proxier/source"
)

// OpenBundle opens a node that view.Files wrote: a directory, or a tar archive that may
// be compressed with gzip. The files of the node may be in a directory of the archive.
func OpenBundle(name string) (view.Node, error) {
	files, err := openFiles(name)
	if err != nil {
		return nil, fmt.Errorf("--bundle: %w", err)
	}
	n, err := view.ReadFiles(files, source.ParseTyped)
	if err != nil {
		return nil, fmt.Errorf("--bundle: %s: %w", name, err)
	}
	return n, nil
}

// openFiles returns a function that reads a file of the bundle by its name.
func openFiles(name string) (func(string) ([]byte, error), error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return openDirectory(name)
	}
	files, err := openArchive(name)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	dir, err := directoryOf(files)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return func(file string) ([]byte, error) {
		data, ok := files[path.Join(dir, file)]
		if !ok {
			return nil, fs.ErrNotExist
		}
		return data, nil
	}, nil
}

// directoryOf returns the directory of an archive that has a node.
func directoryOf(files map[string][]byte) (string, error) {
	var found []string
	for file := range files {
		if path.Base(file) == view.IndexFile {
			found = append(found, path.Dir(file))
		}
	}
	slices.Sort(found)
	switch len(found) {
	case 0:
		return "", fmt.Errorf("it has no %s, so it is no bundle of fairlead", view.IndexFile)
	case 1:
		return found[0], nil
	}
	return "", fmt.Errorf("it has several nodes, in %q and %q: unpack it and give one directory", found[0], found[1])
}

// openDirectory reads files of a directory and of none other: a link in an archive that
// somebody unpacked may lead anywhere.
func openDirectory(name string) (func(string) ([]byte, error), error) {
	dir, err := beside(name, view.IndexFile)
	if err != nil {
		return nil, err
	}
	return func(file string) ([]byte, error) {
		root, err := os.OpenRoot(dir)
		if err != nil {
			return nil, err
		}
		defer func() { _ = root.Close() }()
		info, err := root.Lstat(file)
		if err != nil {
			return nil, err
		}
		if !info.Mode().IsRegular() || info.Size() > maxBundle {
			return nil, fmt.Errorf("it is not a regular file of at most %d bytes", int64(maxBundle))
		}
		return root.ReadFile(file)
	}, nil
}

// beside returns the directory that has a file: the given one, or the only one in it.
func beside(dir, file string) (string, error) {
	for _, pattern := range []string{file, "*/" + file} {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		if err == nil && len(found) > 1 {
			return "", fmt.Errorf("%s has several nodes, in %q and %q: give one directory", dir, filepath.Dir(found[0]), filepath.Dir(found[1]))
		}
		if err == nil && len(found) > 0 {
			return filepath.Dir(found[0]), nil
		}
	}
	return "", fmt.Errorf("%s has no %s, so it is no bundle of fairlead", dir, file)
}
