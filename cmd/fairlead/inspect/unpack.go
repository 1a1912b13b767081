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
)

// Bounds of a bundle, so that a small file cannot fill the memory.
const (
	maxBundle      = 1 << 30 // bytes of all files together
	maxBundleFiles = 10_000
	maxName        = 1024
	// Text of a bundle shrinks to a tenth. A file that grows more than maxGrowth times
	// must not grow to more than freeGrowth bytes.
	maxGrowth  = 200
	freeGrowth = 64 << 20
)

// openArchive reads an archive into memory.
func openArchive(name string) (map[string][]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return unpack(f)
}

// unpack reads a tar archive that may be compressed. It refuses what fairlead does not
// write: names outside of the archive, links, devices, and two files of one name.
func unpack(in io.Reader) (map[string][]byte, error) {
	packed := &counter{r: in}
	buffered := bufio.NewReader(packed)
	var raw io.Reader = buffered
	if magic, err := buffered.Peek(2); err == nil && bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		if raw, err = gzip.NewReader(buffered); err != nil {
			return nil, fmt.Errorf("uncompress: %w", err)
		}
	}
	u := unpacker{packed: packed, files: map[string][]byte{}}
	for r := tar.NewReader(io.LimitReader(raw, maxBundle+maxBundleFiles*1024)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return u.files, nil
		}
		if err != nil {
			return nil, fmt.Errorf("the archive is damaged or cut after %d files: %w", len(u.files), err)
		}
		if err := u.add(h, r); err != nil {
			return nil, fmt.Errorf("%.200q: %w", h.Name, err)
		}
	}
}

// counter counts what was read.
type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err //nolint:wrapcheck // it is a reader
}

// unpacker keeps the files of one archive.
type unpacker struct {
	packed *counter
	files  map[string][]byte
	size   int64
}

func (u *unpacker) add(h *tar.Header, r io.Reader) error {
	switch h.Typeflag {
	case tar.TypeReg:
	case tar.TypeDir, tar.TypeXGlobalHeader:
		return nil
	default:
		return fmt.Errorf("it is a link, device or another thing of type %q; a bundle has files only", h.Typeflag)
	}
	name := path.Clean(h.Name)
	_, twice := u.files[name]
	switch {
	case !fs.ValidPath(name) || name == "." || len(name) > maxName:
		return errors.New("the name is not one of a file in the archive")
	case twice:
		return errors.New("the archive has two files of this name")
	case h.Size > maxBundle-u.size || len(u.files) == maxBundleFiles:
		return fmt.Errorf("the archive has more than %d bytes or %d files", int64(maxBundle), maxBundleFiles)
	}
	var out bytes.Buffer
	for {
		n, err := io.CopyN(&out, r, 1<<20)
		u.size += n
		if u.size > freeGrowth && u.size/maxGrowth > u.packed.n {
			return fmt.Errorf("the archive grows more than %d times as it is unpacked", maxGrowth)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("the archive is damaged or cut: %w", err)
		}
	}
	if int64(out.Len()) != h.Size {
		return fmt.Errorf("the archive is cut: the file has %d of %d bytes", out.Len(), h.Size)
	}
	u.files[name] = out.Bytes()
	return nil
}
