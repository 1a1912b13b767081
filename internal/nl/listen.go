// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nl

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

// mostReads is how often Listen reads at most before it calls its function read.
const mostReads = 256

// Listen passes notifications to each until ctx is done, and returns nil then. It
// calls read when no more of them wait, or after mostReads reads, so that a caller can
// collect what belongs together, and lost when notifications may be missing: at first, for
// all that happened before, and after the kernel had no room for some. read and lost may be
// nil.
func (s *Socket) Listen(ctx context.Context, each func(Reply), read, lost func()) error {
	if err := s.conn.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = s.conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	call(lost)
	often := oftenness{rest: s.rest}
	for reads := 0; ; {
		b, err := s.read(reads == 0)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, unix.ENOBUFS):
			call(lost)
			continue
		case reads > 0 && errors.Is(err, unix.EAGAIN):
			reads = 0
			call(read)
			often.wait(ctx)
			continue
		case err != nil:
			return err
		}
		for len(b) > 0 {
			var r Reply
			if r, b, err = next(b); err != nil {
				return err
			}
			each(r)
		}
		if reads++; reads == mostReads {
			reads = 0
			call(read)
		}
	}
}

func call(f func()) {
	if f != nil {
		f()
	}
}

// freeWakes is how many times in a row Listen is woken without a rest.
const freeWakes = 20

// oftenness knows how often Listen was woken.
type oftenness struct {
	rest  time.Duration
	wakes int       // in a row, each less than two rests after the one before
	last  time.Time // the last one
}

// wait rests if there were many wake-ups in a row.
func (o *oftenness) wait(ctx context.Context) {
	if o.rest == 0 {
		return
	}
	now := time.Now()
	if now.Sub(o.last) > 2*o.rest {
		o.wakes = 0
	}
	o.wakes++
	if o.wakes > freeWakes {
		timer := time.NewTimer(o.rest)
		defer timer.Stop()
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
	}
	o.last = time.Now()
}
