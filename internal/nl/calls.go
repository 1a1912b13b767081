// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nl

import "golang.org/x/sys/unix"

// Calls stands between a Socket and the kernel, so that tests can make each system
// call fail. A Socket without Calls makes the system calls itself.
type Calls interface {
	// Enter runs before a socket is opened, and before a request that another library
	// makes. Its error takes the place of the answer.
	Enter() error
	// Send is sendto(2) to the kernel.
	Send(fd int, b []byte) error
	// Receive is recvfrom(2).
	Receive(fd int, b []byte, flags int) (n int, from unix.Sockaddr, err error)
}

// BufferCalls are Calls that also set the sizes of buffers.
type BufferCalls interface {
	// SetBuffer is setsockopt(2) of SOL_SOCKET with SO_SNDBUF, SO_RCVBUF or their forms
	// with FORCE.
	SetBuffer(fd, option, size int) error
}

// Enter calls c.Enter unless c is nil.
func Enter(c Calls) error {
	if c == nil {
		return nil
	}
	return c.Enter()
}
