// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package worker is the one shape of a background loop: callers add work and
// never wait, one goroutine takes all of it at once and works it off, and a pass
// that fails is repeated with a growing delay.
package worker

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Inbox collects work of type T until its worker takes it. Its methods are safe
// for concurrent use and never block. The zero value is not usable; see NewInbox.
type Inbox[T any] struct {
	wake Wake

	mu   sync.Mutex
	work T
}

// NewInbox returns an Inbox that holds the zero value of T.
func NewInbox[T any]() *Inbox[T] {
	return &Inbox[T]{wake: NewWake()}
}

// Add lets f add to the work under the inbox's lock, and wakes the worker if f
// returns true. Work that is added while a pass runs belongs to the next pass.
func (b *Inbox[T]) Add(f func(work *T) bool) {
	b.mu.Lock()
	wake := f(&b.work)
	b.mu.Unlock()
	if wake {
		b.Wake()
	}
}

// Take returns all work and leaves the zero value of T. It swaps both under the
// lock that Add holds, so no work is lost between a change and its wake-up.
func (b *Inbox[T]) Take() T {
	b.mu.Lock()
	defer b.mu.Unlock()
	var none T
	work := b.work
	b.work = none
	return work
}

// Wake starts a pass, even without work.
func (b *Inbox[T]) Wake() { b.wake.Set() }

// Woken is ready after Wake. Any number of calls before it is read count as one.
func (b *Inbox[T]) Woken() <-chan struct{} { return b.wake }

// Backoff is the delay before a failed pass is repeated. It doubles from First to
// Last and begins again after a pass that succeeds.
type Backoff struct{ First, Last time.Duration }

// ErrNotTried is what a pass returns that was woken while it rests, and did nothing. The
// delay of the last failed pass goes on as if nobody had called.
var ErrNotTried = errors.New("nothing was tried")

// Run calls pass whenever woken is ready, and again after a failed pass, until
// ctx is done. It returns nil then. A wake-up cuts the delay short. Work that a
// failed pass took must be put back by pass. A pass that returns ErrNotTried must see to
// its next wake-up.
func Run(ctx context.Context, woken <-chan struct{}, backoff Backoff, pass func(context.Context) error) error {
	var retry <-chan time.Time // nil, so never ready, after a pass that succeeded
	wait := backoff.First
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-woken:
		case <-retry:
		}
		if ctx.Err() != nil {
			return nil
		}
		switch err := pass(ctx); {
		case errors.Is(err, ErrNotTried):
		case err == nil:
			retry, wait = nil, backoff.First
		default:
			retry = time.After(wait)
			wait = min(2*wait, backoff.Last)
		}
	}
}
