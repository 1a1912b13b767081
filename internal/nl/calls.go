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

// OptionalCalls are Calls that also stand before what a Socket can do without, and before Join.
type OptionalCalls interface {
	// Optional runs before a system call, or before setsockopt(2) with an option, of that name.
	// Its error takes the place of the call.
	Optional(name string) error
}

// optional calls c.Optional if c has it.
func optional(c Calls, name string) error {
	if o, ok := c.(OptionalCalls); ok {
		return o.Optional(name)
	}
	return nil
}

// Enter calls c.Enter unless c is nil.
func Enter(c Calls) error {
	if c == nil {
		return nil
	}
	return c.Enter()
}
