// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"time"
)

// WriteArchive writes the files of view.Files as a compressed archive that OpenBundle
// reads. All are in one directory.
func WriteArchive(out io.Writer, dir string, files map[string][]byte, at time.Time) error {
	size := 0
	zip := gzip.NewWriter(out)
	archive := tar.NewWriter(zip)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		text := files[name]
		if size += len(text); size > maxBundle {
			return fmt.Errorf("write %s: the bundle has more than %d bytes", name, maxBundle)
		}
		err := archive.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: path.Join(dir, name), Mode: 0o600, Size: int64(len(text)), ModTime: at})
		if err == nil {
			_, err = archive.Write(text)
		}
		if err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
	}
	return errors.Join(archive.Close(), zip.Close())
}
