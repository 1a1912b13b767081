// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package firewall

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// loadLegacy reads the filter tables of legacy iptables in the namespace of the
// calling thread. A kernel without them, or that has made none, has no file.
func (r *Ruleset) loadLegacy() {
	for _, family := range []string{"ip", "ip6"} {
		t := &table{family: family, name: "filter", legacy: true, chains: map[string]*chain{}}
		names, err := os.ReadFile("/proc/thread-self/net/" + family + "_tables_names")
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		// Asking for a missing table would make it.
		if err == nil && !slices.Contains(strings.Fields(string(names)), "filter") {
			continue
		}
		if err == nil {
			err = t.load()
		}
		if err != nil {
			r.unknown = append(r.unknown, Finding{Table: t.String(), Err: err})
			continue
		}
		r.tables = append(r.tables, t)
	}
}

// From linux/netfilter_ipv4/ip_tables.h and its IPv6 twin, which x/sys lacks.
const (
	getInfo    = 64 // IPT_SO_GET_INFO, IP6T_SO_GET_INFO
	getEntries = 65
	hookInput  = 1
	hooks      = 5

	tableNameLen = 32
	infoSize     = tableNameLen + 4 + 4*hooks + 4*hooks + 4 + 4
	// entriesHead is the name and the size, padded: entries have counters of 8.
	entriesHead = tableNameLen + 8
)

// info is struct ipt_getinfo.
type info struct {
	hooks, underflow [hooks]uint32
	size             uint32
}

func (t *table) load() error {
	domain, level := unix.AF_INET, unix.IPPROTO_IP
	if t.family == "ip6" {
		domain, level = unix.AF_INET6, unix.IPPROTO_IPV6
	}
	fd, err := unix.Socket(domain, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		return fmt.Errorf("open socket: %w", err)
	}
	defer func() { _ = unix.Close(fd) }()
	head := make([]byte, infoSize)
	copy(head, t.name)
	if err := getsockopt(fd, level, getInfo, head); err != nil {
		return fmt.Errorf("read size: %w", err)
	}
	var i info
	at := tableNameLen + 4
	for k := range hooks {
		i.hooks[k] = binary.NativeEndian.Uint32(head[at+4*k:])
		i.underflow[k] = binary.NativeEndian.Uint32(head[at+4*(hooks+k):])
	}
	i.size = binary.NativeEndian.Uint32(head[infoSize-4:])
	blob := make([]byte, entriesHead+int(i.size))
	copy(blob, t.name)
	binary.NativeEndian.PutUint32(blob[tableNameLen:], i.size)
	if err := getsockopt(fd, level, getEntries, blob); err != nil {
		return fmt.Errorf("read rules: %w", err) // EAGAIN: it changed meanwhile
	}
	return t.parse(i, bytes.Clone(blob[entriesHead:]))
}

// getsockopt is for options that take input, too.
func getsockopt(fd, level, option int, buf []byte) error {
	n := uint32(len(buf))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), uintptr(level), uintptr(option),
		uintptr(unsafe.Pointer(&buf[0])), uintptr(unsafe.Pointer(&n)), 0)
	if errno != 0 {
		return errno
	}
	return nil
}
