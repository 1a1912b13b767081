// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"errors"
	"os"
	"path"
	"slices"
	"time"

	"fairlead/deploy/tools/internal/oci"
)

// archive packs the agent with its licences, without the plugins.
func archive(files []oci.File) ([]byte, error) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, f := range files {
		if path.Dir(f.Name) != "." {
			continue
		}
		content, err := os.ReadFile(f.Source)
		if err != nil {
			return nil, err
		}
		mode := int64(0o644)
		if f.Name == "fairlead" {
			mode = 0o755
		}
		h := &tar.Header{Typeflag: tar.TypeReg, Name: f.Name, Size: int64(len(content)), Mode: mode, ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR}
		if err := w.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := w.Write(content); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), errors.Join(w.Close(), z.Close())
}

func insert(files []artifact, f artifact) []artifact {
	i, _ := slices.BinarySearchFunc(files, f, func(a, b artifact) int { return cmp.Compare(a.name, b.name) })
	return slices.Insert(files, i, f)
}
