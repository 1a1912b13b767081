// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package peercred tells which process is at the other end of a Unix socket.
package peercred

import (
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// Of returns the process at the other end of a connection, as it was when it connected
// or began to listen (SO_PEERCRED). Its PID is 0 if it is in another PID namespace.
func Of(conn net.Conn) (*unix.Ucred, error) {
	c, ok := conn.(*net.UnixConn)
	if !ok {
		return nil, fmt.Errorf("peer of %T: %w", conn, errors.ErrUnsupported)
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("peer: %w", err)
	}
	var cred *unix.Ucred
	var failed error
	err = raw.Control(func(fd uintptr) {
		cred, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err = errors.Join(err, failed); err != nil {
		return nil, fmt.Errorf("peer: %w", err)
	}
	return cred, nil
}

// Trusted reports whether a process belongs to root or to the user of this process.
func Trusted(cred *unix.Ucred) bool { return cred.Uid == 0 || int(cred.Uid) == os.Geteuid() }
