// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nl

import (
	"errors"

	"golang.org/x/sys/unix"
)

// Join makes the socket listen to a multicast group. It may be called from another goroutine,
// also while Listen runs.
func (s *Socket) Join(group uint32) error {
	return s.member("NETLINK_ADD_MEMBERSHIP", unix.NETLINK_ADD_MEMBERSHIP, group)
}

// Leave ends what Join or Config.Groups began. The kernel makes no notification that nobody of a
// network namespace listens to. Those that it has made can still be read.
func (s *Socket) Leave(group uint32) error {
	return s.member("NETLINK_DROP_MEMBERSHIP", unix.NETLINK_DROP_MEMBERSHIP, group)
}

func (s *Socket) member(name string, option int, group uint32) error {
	var failed error
	err := s.copied.control(s.raw, func(fd uintptr) {
		if failed = optional(s.calls, name); failed == nil {
			failed = unix.SetsockoptInt(int(fd), unix.SOL_NETLINK, option, int(group))
		}
	})
	return errors.Join(err, failed)
}
