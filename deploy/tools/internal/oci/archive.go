// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"fairlead/deploy/tools/internal/chart"
)

// Write puts the images of all platforms into one OCI archive and returns the
// digest of their index.
func Write(o Options, images []PlatformImage, dir string) (v1.Hash, error) {
	all := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, img := range images {
		all = mutate.AppendManifests(all, mutate.IndexAddendum{Add: img.Image, Descriptor: v1.Descriptor{Platform: &img.Platform, Annotations: o.labels()}})
	}
	index, err := newPlainIndex(mutate.Annotations(all, o.labels()).(v1.ImageIndex))
	if err != nil {
		return v1.Hash{}, err
	}
	digest, err := index.Digest()
	if err != nil {
		return v1.Hash{}, fmt.Errorf("hash index: %w", err)
	}
	at := filepath.Join(dir, "layout")
	l, err := layout.Write(at, empty.Index)
	if err != nil {
		return v1.Hash{}, fmt.Errorf("begin layout: %w", err)
	}
	// The first is for containerd, the second for everybody else.
	names := map[string]string{
		"io.containerd.image.name":          o.Name + ":" + chart.Tag(o.Version),
		"org.opencontainers.image.ref.name": chart.Tag(o.Version),
	}
	if err := l.AppendIndex(index, layout.WithAnnotations(names)); err != nil {
		return v1.Hash{}, fmt.Errorf("write layout: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(o.Out), 0o755); err != nil {
		return v1.Hash{}, err
	}
	out, err := os.Create(o.Out)
	if err != nil {
		return v1.Hash{}, err
	}
	return digest, errors.Join(archive(out, at), out.Close())
}

// archive writes the files below dir, by name, with the one time.
func archive(out io.Writer, dir string) error {
	w := tar.NewWriter(out)
	err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		h := header(filepath.ToSlash(rel), tar.TypeReg, int64(len(content)))
		h.Mode = 0o444
		if err := w.WriteHeader(h); err != nil {
			return err
		}
		_, err = w.Write(content)
		return err
	})
	return errors.Join(err, w.Close())
}
