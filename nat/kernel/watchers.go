// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"sync"
	"sync/atomic"
)

// watchers are all calls of Watch. The kernel does not notify them of what the
// table itself commits, so that a commit wakes no goroutine. The zero value is ready to use.
type watchers struct {
	// port is the netlink port of the socket that commits. A change that comes from another
	// port was made by another program.
	port atomic.Uint32
	mu   sync.Mutex
	of   map[*listener]struct{}
}

// add makes a listener ignore commits of the table. Where the kernel does not filter, Watch reads
// their notifications and finds that they are ours.
func (w *watchers) add(one *listener) {
	w.mu.Lock()
	defer w.mu.Unlock()
	one.ignore(w.port.Load())
	if w.of == nil {
		w.of = map[*listener]struct{}{}
	}
	w.of[one] = struct{}{}
}

func (w *watchers) remove(one *listener) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.of, one)
}

// use makes a port the one that commits come from. Nobody ignores the port before it any longer,
// so its socket may be closed afterwards, and another program may get the port.
func (w *watchers) use(port uint32) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for one := range w.of {
		one.ignore(port)
	}
	w.port.Store(port)
}

// unheard makes a transaction while nobody listens. For a listener the kernel makes a notification
// of each element, which takes a fifth of the processor time of a start, even if the listener
// ignores it. What other programs do meanwhile shows in the number of their transactions.
func (w *watchers) unheard(transact func() error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for one := range w.of {
		one.pause()
	}
	err := transact()
	for one := range w.of {
		one.resume()
	}
	return err
}
