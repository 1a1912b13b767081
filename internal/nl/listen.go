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
// nil. A Socket that rests, see Config, serves nothing else afterwards, and Close may not end
// Listen then.
func (s *Socket) Listen(ctx context.Context, each func(Reply), read, lost func()) error {
	rest := func() {}
	if s.rest > 0 {
		often := oftenness{rest: s.rest}
		rest = func() { sleep(ctx, often.due()) }
		d, err := s.detach(ctx)
		if err == nil {
			err = listen(ctx, d.next, each, read, rest, lost)
			return errors.Join(err, d.Close())
		}
		if s.refused != nil {
			s.refused(err)
		}
	}
	if err := s.conn.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = s.conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	return listen(ctx, s.read, each, read, rest, lost)
}

// listen is Listen for what next returns, which waits if it is told to. It calls rest after each
// call of read behind which nothing waited.
func listen(ctx context.Context, next func(wait bool) ([]byte, error), each func(Reply), read, rest, lost func()) error {
	call(lost)
	for reads := 0; ; {
		b, err := next(reads == 0)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, unix.ENOBUFS):
			call(lost)
			continue
		case errors.Is(err, unix.EAGAIN):
			if reads > 0 {
				reads = 0
				call(read)
				rest()
			}
			continue
		case err != nil:
			return err
		}
		if err := eachOf(b, each); err != nil {
			return err
		}
		if reads++; reads == mostReads {
			reads = 0
			call(read)
		}
	}
}

// eachOf passes the messages of one read.
func eachOf(b []byte, each func(Reply)) error {
	for len(b) > 0 {
		r, left, err := next(b)
		if err != nil {
			return err
		}
		b = left
		each(r)
	}
	return nil
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
	last  time.Time // the last one, with its rest
}

// due returns how long to rest now, after a wake-up: not at all unless there were many in a row.
func (o *oftenness) due() time.Duration {
	now := time.Now()
	if now.Sub(o.last) > 2*o.rest {
		o.wakes = 0
	}
	o.wakes++
	o.last = now
	if o.wakes <= freeWakes {
		return 0
	}
	o.last = now.Add(o.rest)
	return o.rest
}
