// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package tail keeps the last lines of a log in bounded memory.
package tail

import (
	"bytes"
	"io"
	"strings"
	"sync"
)

// Limits of what is kept.
const (
	MaxBytes = 256 << 10
	maxLine  = 8 << 10 // bytes of a line; the rest of it is cut
)

// Log keeps the last lines that were written to it. The zero value is ready for use. Its
// methods are safe for concurrent use.
type Log struct {
	mu   sync.Mutex
	text []byte // at most twice MaxBytes
	cut  bool
}

// Write adds a text, which may be a part of a line. It never fails.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(p)
	if n > MaxBytes {
		p, l.cut = p[n-MaxBytes:], true
	}
	if len(l.text)+len(p) > 2*MaxBytes {
		kept := copy(l.text, l.text[len(l.text)-MaxBytes:])
		l.text, l.cut = l.text[:kept], true
	}
	l.text = append(l.text, p...)
	return n, nil
}

// Lines returns the last lines, and whether there were others before.
func (l *Log) Lines() (lines []string, cut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return Lines(l.text, l.cut)
}

// Lines returns the last lines of a text, at most MaxBytes of them, and whether there were
// others before. With cut the text itself is the end of a longer one, so that its first
// line may be half of one, which is left out.
func Lines(text []byte, cut bool) ([]string, bool) {
	if len(text) > MaxBytes {
		text, cut = text[len(text)-MaxBytes:], true
	}
	if cut {
		text = text[bytes.IndexByte(text, '\n')+1:]
	}
	var out []string
	for line := range bytes.Lines(text) {
		line = bytes.TrimRight(line, "\r\n")
		if len(line) > maxLine {
			line = line[:maxLine]
		}
		out = append(out, strings.ToValidUTF8(string(line), "\ufffd"))
	}
	return out, cut
}

// Read returns the last lines of r, which it reads to the end. size is the length of r in
// bytes, of which it skips what is too much.
func Read(r io.ReaderAt, size int64) ([]string, bool, error) {
	from := max(0, size-MaxBytes)
	text := make([]byte, min(size, MaxBytes))
	n, err := r.ReadAt(text, from)
	if err == io.EOF {
		err = nil
	}
	lines, cut := Lines(text[:n], from > 0)
	return lines, cut, err
}
