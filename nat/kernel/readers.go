// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"sync"

	"fairlead/internal/nl"
)

// readers keeps sockets for repeated reads open, because closing one delays commits: nf_tables
// keeps its mutex while it waits for what earlier commits destroy, some 20 ms (nft_rcv_nl_event
// in kernel 6.18). There are as many as there were reads at one time. All methods are safe for
// concurrent use.
type readers struct {
	dial func() (*nl.Socket, error)

	mu     sync.Mutex
	idle   []*nl.Socket
	closed bool
}

// read calls f with a socket of its own.
func (r *readers) read(f func(*nl.Socket) error) error {
	s, err := r.take()
	if err != nil {
		return err
	}
	err = f(s)
	r.put(s)
	return err
}

func (r *readers) take() (*nl.Socket, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if last := len(r.idle) - 1; last >= 0 {
		s := r.idle[last]
		r.idle = r.idle[:last]
		return s, nil
	}
	return r.dial()
}

// put keeps a socket for the next read unless a system call failed.
func (r *readers) put(s *nl.Socket) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || s.Broken() {
		_ = s.Close()
		return
	}
	r.idle = append(r.idle, s)
}

// close closes the sockets. That of a read that has not returned is closed at its end.
func (r *readers) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.idle {
		_ = s.Close()
	}
	r.idle, r.closed = nil, true
}
