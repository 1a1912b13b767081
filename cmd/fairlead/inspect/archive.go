// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"time"
)

// WriteArchive writes the files of view.Files as a compressed archive that OpenBundle
// reads. All are in one directory. It leaves out what objects may hold of secrets: see
// withoutSecrets.
func WriteArchive(out io.Writer, dir string, files map[string][]byte, at time.Time) error {
	size := 0
	zip := gzip.NewWriter(out)
	archive := tar.NewWriter(zip)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		text, err := withoutSecrets(files[name])
		if err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
		if size += len(text); size > maxBundle {
			return fmt.Errorf("write %s: the bundle has more than %d bytes", name, maxBundle)
		}
		err = archive.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: path.Join(dir, name), Mode: 0o600, Size: int64(len(text)), ModTime: at})
		if err == nil {
			_, err = archive.Write(text)
		}
		if err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
	}
	return errors.Join(archive.Close(), zip.Close())
}

// secretKeys are the fields of Pods in which people write passwords. No command of
// fairlead reads them.
func secretKeys() []string {
	return []string{
		"env", "envFrom", "command", "args", "httpHeaders", "managedFields",
		"kubectl.kubernetes.io/last-applied-configuration",
	}
}

// withoutSecrets removes secretKeys from a JSON text, at any depth.
func withoutSecrets(text []byte) ([]byte, error) {
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		return nil, err
	}
	if !strip(v) {
		return text, nil
	}
	return json.MarshalIndent(v, "", " ")
}

// strip reports whether it removed anything.
func strip(v any) (removed bool) {
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			removed = strip(item) || removed
		}
	case map[string]any:
		for _, key := range secretKeys() {
			if _, ok := v[key]; ok {
				delete(v, key)
				removed = true
			}
		}
		for _, item := range v {
			removed = strip(item) || removed
		}
	}
	return removed
}
