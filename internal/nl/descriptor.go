// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nl

import (
	"sync"
	"syscall"
)

// descriptor is the copy of a socket's descriptor that a detached socket uses.
type descriptor struct {
	mu   sync.Mutex // held while it is opened, used by another goroutine, and closed
	fd   int
	open bool
}

// control calls f with the copy if it is open, and otherwise with the descriptor that Go's poller
// knows, unless that is closed.
func (d *descriptor) control(raw syscall.RawConn, f func(fd uintptr)) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.open {
		return raw.Control(f)
	}
	f(uintptr(d.fd))
	return nil
}
