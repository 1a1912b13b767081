// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"fmt"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"fairlead/internal/nl"
)

// unheardFrom is the number of operations from which a transaction is worth the four requests
// that pause and resume make.
const unheardFrom = 256

// crowd is how many transactions of others between two checks let large batches be heard. Whoever makes
// so many is about to make the next one, and to miss that means to read the whole table. A program that
// flushes the table and writes its own makes fewer.
const crowd = 8

// listener is what one Watch listens with. Between pause and resume it is deaf.
type listener struct {
	socket *nl.Socket
	group  bool // it listens to NFNLGRP_NFTABLES
	// silent returns how many transactions of others were not announced to the Watch, which may come
	// a moment later.
	silent func() (uint32, error)
	// crowded says whether a crowd of transactions was announced since the last check.
	crowded func() bool
	missed  func()      // takes note of transactions that were not heard
	end     func(error) // ends the Watch
	// refused is told what the kernel, or a filter of system calls, refuses.
	refused func(error)

	paused bool
	// disturbed is set after a transaction of others during a pause, and after a crowd of them, until
	// a check finds that there was none since the check before.
	disturbed atomic.Bool
}

// pause begins a pause, unless other programs make transactions all the time. The kernel announces a
// transaction some time after it has counted it, so a pause does not begin before all are announced.
func (l *listener) pause() {
	if l.crowded() {
		l.disturbed.Store(true)
	}
	if !l.group || l.disturbed.Load() {
		return
	}
	if n, err := l.silent(); err == nil && n == 0 {
		err := l.socket.Leave(unix.NFNLGRP_NFTABLES)
		if l.paused = err == nil; err != nil {
			l.refused(fmt.Errorf("leave the group of nftables: %w", err))
		}
	}
}

// ignore makes the kernel keep back notifications about what a port commits.
func (l *listener) ignore(port uint32) {
	if err := l.socket.Ignore(port); err != nil {
		l.refused(fmt.Errorf("filter notifications: %w", err))
	}
}

// resume ends a pause. It says whether another program made a transaction after it began, in
// whichever table, and ends the Watch if that cannot listen again.
func (l *listener) resume() {
	if !l.paused {
		return
	}
	l.paused = false
	if err := l.socket.Join(unix.NFNLGRP_NFTABLES); err != nil {
		l.end(err)
		return
	}
	if n, err := l.silent(); err != nil || n != 0 {
		l.disturbed.Store(true)
		l.missed()
	}
}
