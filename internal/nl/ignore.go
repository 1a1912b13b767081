// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nl

import (
	"encoding/binary"
	"errors"

	"golang.org/x/sys/unix"
)

// Ignore makes the kernel keep back notifications about requests of the socket with a netlink
// port, so that they wake nobody and take no room. Each call replaces the port of the one before.
// After an error the socket gets all notifications. It may be called from another goroutine, also
// while Listen runs.
//
// The kernel sends the notifications of one transaction together, and writes the port of its
// author into each (nft_commit_notify, nft_notify_enqueue), so the first says enough. No other
// program can take the port while the socket that has it is open.
func (s *Socket) Ignore(port uint32) error {
	const portAt = 12                                                              // struct nlmsghdr
	loaded := binary.BigEndian.Uint32(binary.NativeEndian.AppendUint32(nil, port)) // the program loads in network order
	program := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: portAt},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: loaded},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
		{Code: unix.BPF_RET | unix.BPF_K, K: ^uint32(0)},
	}
	var failed error
	err := s.copied.control(s.raw, func(fd uintptr) {
		if failed = optional(s.calls, "SO_ATTACH_FILTER"); failed == nil {
			failed = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]})
		}
		if failed != nil {
			_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0) // of an earlier call
		}
	})
	return errors.Join(err, failed)
}
