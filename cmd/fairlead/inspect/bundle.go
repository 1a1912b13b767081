// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"fairlead/cmd/fairlead/view"
	"fairlead/proxier/source"
)

// Bounds of a bundle, so that a small file cannot fill the memory.
const (
	maxBundle      = 1 << 30 // bytes of all files together
	maxBundleFiles = 10_000
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
		dir, err := beside(name, view.IndexFile)
		return func(file string) ([]byte, error) {
			text, err := readBounded(filepath.Join(dir, file), maxBundle)
			return []byte(text), err
		}, err
	}
	files, err := openArchive(name)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	dir := ""
	for file := range files {
		if path.Base(file) == view.IndexFile && (dir == "" || len(path.Dir(file)) < len(dir)) {
			dir = path.Dir(file)
		}
	}
	return func(file string) ([]byte, error) {
		data, ok := files[path.Join(dir, file)]
		if !ok {
			return nil, fs.ErrNotExist
		}
		return data, nil
	}, nil
}

// beside returns the directory that has a file: the given one, or the first one in it.
func beside(dir, file string) (string, error) {
	for _, pattern := range []string{file, "*/" + file} {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		if err == nil && len(found) > 0 {
			return filepath.Dir(found[0]), nil
		}
	}
	return "", fmt.Errorf("%s has no %s, so it is no bundle of fairlead", dir, file)
}

// openArchive reads an archive into memory.
func openArchive(name string) (map[string][]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	in := bufio.NewReader(f)
	var raw io.Reader = in
	if magic, err := in.Peek(2); err == nil && bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		if raw, err = gzip.NewReader(in); err != nil {
			return nil, err
		}
	}
	return readTar(io.LimitReader(raw, maxBundle+1))
}

func readTar(in io.Reader) (map[string][]byte, error) {
	out := map[string][]byte{}
	size := int64(0)
	for r := tar.NewReader(in); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		if size += h.Size; size > maxBundle || len(out) == maxBundleFiles {
			return nil, fmt.Errorf("has more than %d bytes or %d files", int64(maxBundle), maxBundleFiles)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			return nil, err
		}
		out[strings.TrimPrefix(path.Clean("/"+h.Name), "/")] = data
	}
}
