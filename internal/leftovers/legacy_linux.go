// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package leftovers

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// lookLegacy reads the tables of legacy iptables in the namespace of the calling
// thread. A kernel without them, or that has made none, has no file.
func (s *State) lookLegacy() error {
	var errs []error
	for _, family := range []string{"ip", "ip6"} {
		names, err := os.ReadFile("/proc/thread-self/net/" + family + "_tables_names")
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("list tables of legacy iptables: %w", err))
			continue
		}
		// Asking for a missing table would make it.
		for name := range strings.FieldsSeq(string(names)) {
			blob, err := legacyTable(family, name)
			if err != nil {
				errs = append(errs, fmt.Errorf("read table %s %s of legacy iptables: %w", family, name, err))
				continue
			}
			if chains := legacyChains(blob); len(chains) > 0 {
				s.Legacy = append(s.Legacy, Table{Family: family, Name: name, Chains: chains})
			}
		}
	}
	return errors.Join(errs...)
}

// legacyChains finds names of chains: the heads of chains have them as text.
func legacyChains(blob []byte) []Chain {
	var out []Chain
	for _, m := range regexp.MustCompile(`(?:KUBE|FLANNEL)-[A-Z0-9-]+`).FindAll(blob, -1) {
		if c := (Chain{Name: string(m)}); !slices.ContainsFunc(out, func(o Chain) bool { return o.Name == c.Name }) {
			out = append(out, c)
		}
	}
	return out
}

// From linux/netfilter_ipv4/ip_tables.h and its IPv6 twin, which x/sys lacks.
const (
	getInfo      = 64 // IPT_SO_GET_INFO, IP6T_SO_GET_INFO
	getEntries   = 65
	hooks        = 5
	tableNameLen = 32
	infoSize     = tableNameLen + 4 + 4*hooks + 4*hooks + 4 + 4 // struct ipt_getinfo
	entriesHead  = tableNameLen + 8                             // struct ipt_get_entries, padded
)

func legacyTable(family, name string) ([]byte, error) {
	domain, level := unix.AF_INET, unix.IPPROTO_IP
	if family == "ip6" {
		domain, level = unix.AF_INET6, unix.IPPROTO_IPV6
	}
	sock, err := unix.Socket(domain, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		return nil, err
	}
	defer func() { _ = unix.Close(sock) }()
	for range tries {
		head := make([]byte, infoSize)
		copy(head, name)
		if err := getsockopt(sock, level, getInfo, head); err != nil {
			return nil, err
		}
		size := binary.NativeEndian.Uint32(head[infoSize-4:])
		blob := make([]byte, entriesHead+int(size))
		copy(blob, name)
		binary.NativeEndian.PutUint32(blob[tableNameLen:], size)
		if err = getsockopt(sock, level, getEntries, blob); err == nil {
			return blob[entriesHead:], nil
		}
		if !errors.Is(err, unix.EAGAIN) { // it changed meanwhile
			break
		}
	}
	return nil, err
}

// getsockopt is for options that take input, too.
func getsockopt(sock, level, option int, buf []byte) error {
	n := uint32(len(buf))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(sock), uintptr(level), uintptr(option),
		uintptr(unsafe.Pointer(&buf[0])), uintptr(unsafe.Pointer(&n)), 0)
	if errno != 0 {
		return errno
	}
	return nil
}
