// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nltest

import (
	"fmt"

	"golang.org/x/sys/unix"

	"fairlead/internal/nl"
)

// SmallBuffers is nl.Calls for a machine whose net.core.wmem_max and rmem_max are Max, for a
// program that may not exceed them (SO_SNDBUFFORCE, SO_RCVBUFFORCE), such as one in a user
// namespace. The kernel really has no more room in the sockets.
type SmallBuffers struct {
	Counter
	Max int // bytes; the kernel doubles it
}

var _ interface {
	nl.Calls
	nl.BufferCalls
} = (*SmallBuffers)(nil)

// SetBuffer implements nl.BufferCalls.
func (s *SmallBuffers) SetBuffer(fd, option, size int) error {
	if option == unix.SO_SNDBUFFORCE || option == unix.SO_RCVBUFFORCE {
		return unix.EPERM
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, option, min(size, s.Max)); err != nil {
		return fmt.Errorf("set the size of a buffer: %w", err)
	}
	return nil
}
