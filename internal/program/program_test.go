// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package program

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// TestForget: the pages of the test binary go, and the test goes on.
func TestForget(t *testing.T) {
	before := resident(t)
	if err := Forget(); err != nil {
		t.Fatal(err)
	}
	if after := resident(t); after >= before {
		t.Errorf("the process has %d KiB of files, and had %d before", after, before)
	}
}

// resident returns how much of files the process has, in KiB.
func resident(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "RssFile:")
	n, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestForgetLeavesWhatIsWritten: a page that this process has written to is not in the file,
// so it must stay, as when a debugger has set a breakpoint.
func TestForgetLeavesWhatIsWritten(t *testing.T) {
	const large = 4096 // pages
	path := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(path, make([]byte, (8+large)*os.Getpagesize()), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	show := func(offset, pages int) []byte {
		m, err := unix.Mmap(int(f.Fd()), int64(offset*os.Getpagesize()), pages*os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Munmap(m) })
		return m
	}
	broken, data, clean := show(0, 2), show(3, 2), show(6, large)
	broken[7], data[8] = 0xcc, 1
	for _, m := range [][]byte{clean, broken} {
		if err := unix.Mprotect(m, unix.PROT_READ|unix.PROT_EXEC); err != nil {
			t.Fatal(err)
		}
	}
	var sum byte
	for i := 0; i < len(clean); i += os.Getpagesize() {
		sum += clean[i]
	}
	before := resident(t)
	if err := forget(uintptr(unsafe.Pointer(&clean[0]))); err != nil {
		t.Fatal(err)
	}
	if gone, want := before-resident(t), large*os.Getpagesize()>>10*9/10; gone < want {
		t.Errorf("%d KiB are gone, want %d", gone, want)
	}
	if sum += clean[0]; sum != 0 || broken[7] != 0xcc || data[8] != 1 {
		t.Errorf("the pages have other content: %x %x %x", sum, broken[7], data[8])
	}
	if err := forget(8); err == nil {
		t.Error("an address of no file is accepted")
	}
}

// TestReadMappings reads lists with and without files, and lines that are no head.
func TestReadMappings(t *testing.T) {
	const text = `00400000-00e2a000 r-xp 00000000 fe:00 2638209                            /usr/bin/fair lead (deleted)
00e2a000-0183f000 r--p 00a2a000 fe:00 2638209                            /usr/bin/fair lead (deleted)
no head
0183f000-018a5000 rw-p 0143f000 fe:00 2638209                            /usr/bin/fair lead (deleted)
c000000000-c004000000 rw-p 00000000 00:00 0
`
	const file = "fe:00 2638209 /usr/bin/fair lead (deleted)"
	got, err := readMappings(strings.NewReader(text))
	want := []mapping{
		{from: 0x400000, to: 0xe2a000, file: file},
		{from: 0xe2a000, to: 0x183f000, file: file},
		{from: 0x183f000, to: 0x18a5000, file: file, writable: true},
		{from: 0xc000000000, to: 0xc004000000, file: "00:00 0", writable: true},
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, want)
	}
	for _, line := range []string{"", "a b c d e", "1-0 r-xp 0 0 0", "x-1 r-xp 0 0 0", "Rss: 1 kB"} {
		if m, ok := readHead(line); ok {
			t.Errorf("%q is read as %+v", line, m)
		}
	}
}

// TestHasWritten: a page that is present and in no file was written to, and so was one in the swap.
func TestHasWritten(t *testing.T) {
	const clean = present | ofFile
	for _, tt := range []struct {
		pages []uint64
		want  bool
	}{
		{nil, false}, {[]uint64{0, 0}, false}, {[]uint64{clean, 0, clean | 1<<55}, false},
		{[]uint64{0, present}, true}, {[]uint64{clean, swapped}, true}, {[]uint64{swapped | ofFile}, true},
	} {
		var entries []byte
		for _, p := range tt.pages {
			entries = binary.NativeEndian.AppendUint64(entries, p)
		}
		if got := hasWritten(entries); got != tt.want {
			t.Errorf("%x: %v, want %v", tt.pages, got, tt.want)
		}
	}
}
