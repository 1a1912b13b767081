// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package program gives pages of the running program back to the kernel.
package program

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Forget takes the pages of code and constants out of this process. They stay in the page
// cache, where the kernel finds those that the program uses again, in about a microsecond for 16
// pages. The others cost nothing from then on: they are the first that the kernel drops, and
// they do not count as the working set of the container. The error says what the kernel
// refused, and has no other consequence.
//
// A mapping that a debugger or a tracer has written to keeps its pages, because only this
// process has them.
func Forget() error {
	pc, _, _, ok := runtime.Caller(0)
	if !ok {
		return errors.New("find the program: no caller")
	}
	return forget(pc)
}

// forget does so for the file at an address.
func forget(addr uintptr) error {
	f, err := os.Open("/proc/self/maps")
	if err != nil {
		return fmt.Errorf("list mappings: %w", err)
	}
	defer func() { _ = f.Close() }()
	list, err := readMappings(f)
	if err != nil {
		return fmt.Errorf("list mappings: %w", err)
	}
	pages, err := os.Open("/proc/self/pagemap")
	if err != nil {
		return fmt.Errorf("list pages: %w", err)
	}
	defer func() { _ = pages.Close() }()
	i := slices.IndexFunc(list, func(m mapping) bool { return m.from <= addr && addr < m.to })
	if i < 0 {
		return errors.New("list mappings: the program is in none")
	}
	file := list[i].file
	var failed []error
	for _, m := range list {
		if m.file != file || m.writable {
			continue
		}
		switch written, err := isWritten(pages, m); {
		case err != nil:
			failed = append(failed, fmt.Errorf("list pages: %w", err))
			continue
		case written:
			continue
		}
		// Linux 5.4 and newer have MADV_COLD. Older ones know the pages as used, and no more.
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, m.from, m.to-m.from, unix.MADV_COLD)
		if _, _, e := unix.Syscall(unix.SYS_MADVISE, m.from, m.to-m.from, unix.MADV_DONTNEED); e != 0 {
			failed = append(failed, fmt.Errorf("madvise: %w", e))
		}
	}
	return errors.Join(failed...)
}

// mapping is a piece of the address space.
type mapping struct {
	from, to uintptr
	writable bool
	file     string // device, inode and path
}

// isWritten reports whether a mapping has pages that differ from the file's. /proc/PID/smaps says
// that, too, but goes through the heap as well, which takes ten times as long.
func isWritten(pagemap io.ReaderAt, m mapping) (bool, error) {
	var entries [8 << 10]byte
	size := uintptr(os.Getpagesize())
	for first, end := m.from/size, m.to/size; first < end; {
		n := min(end-first, uintptr(len(entries)/entrySize))
		part := entries[:n*entrySize]
		if _, err := pagemap.ReadAt(part, int64(first*entrySize)); err != nil {
			return false, err
		}
		if hasWritten(part) {
			return true, nil
		}
		first += n
	}
	return false, nil
}

// Bits of an entry of /proc/PID/pagemap, which has 8 bytes; see Documentation/admin-guide/mm/pagemap.rst.
const (
	entrySize = 8
	present   = 1 << 63
	swapped   = 1 << 62
	ofFile    = 1 << 61
)

// hasWritten reports whether one of the pages is in no file. Such a page was written to, and may
// be in the swap.
func hasWritten(entries []byte) bool {
	for ; len(entries) >= entrySize; entries = entries[entrySize:] {
		e := binary.NativeEndian.Uint64(entries)
		if e&swapped != 0 || e&present != 0 && e&ofFile == 0 {
			return true
		}
	}
	return false
}

// readMappings reads what the kernel says in /proc/PID/maps.
func readMappings(r io.Reader) ([]mapping, error) {
	var list []mapping
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		if m, ok := readHead(lines.Text()); ok {
			list = append(list, m)
		}
	}
	return list, lines.Err()
}

// readHead reads, for example, "00401000-00402000 r-xp 00001000 fe:00 123   /usr/bin/fairlead".
func readHead(line string) (mapping, bool) {
	fields := strings.Fields(line)
	if len(fields) < 5 || len(fields[1]) != len("r-xp") {
		return mapping{}, false
	}
	from, to, ok := strings.Cut(fields[0], "-")
	if !ok {
		return mapping{}, false
	}
	first, err := strconv.ParseUint(from, 16, 64)
	end, err2 := strconv.ParseUint(to, 16, 64)
	if err != nil || err2 != nil || end <= first {
		return mapping{}, false
	}
	return mapping{
		from: uintptr(first), to: uintptr(end), writable: fields[1][1] == 'w', file: strings.Join(fields[3:], " "),
	}, true
}
