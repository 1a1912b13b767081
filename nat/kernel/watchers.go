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
	// second is the port of the one that openBeside opened, 0 for none. Its transactions are counted
	// with those of the table. beside is where to say which port this one has; nil otherwise.
	second atomic.Uint32
	beside *watchers
	mu     sync.Mutex
	of     map[*listener]struct{}
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
	if w.beside != nil {
		w.beside.second.Store(port)
	}
}

// leave says that another program may get the port of the table that was opened beside another.
func (w *watchers) leave() {
	if w.beside != nil {
		w.beside.second.Store(0)
	}
}

// isOurs reports whether the transactions of a port are counted with ours.
func (w *watchers) isOurs(port uint32) bool {
	return port != 0 && (port == w.port.Load() || port == w.second.Load())
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
