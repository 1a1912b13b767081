// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nl

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Write sends all messages at once and calls refused, which may be nil, for those
// that the kernel does not accept, with their index and an error that wraps the
// errno. An error of Write itself means that nothing was sent (ErrTooLarge) or
// that the outcome is not known.
//
// The kernel works on the messages in order and before the send returns. It
// reports every failure; so one acknowledgement, of the last message, stands for
// all that did not fail. Write asks for it.
func (s *Socket) Write(m *Messages, refused func(i int, err error)) error {
	return s.GetAll(m, func(int, Reply) {}, func(i int, err error) {
		if refused != nil {
			refused(i, err)
		}
	})
}

// GetAll is Write for questions. It calls each for every object that the kernel returns,
// with the index of the message that asked for it. The answers have to fit into the receive
// buffer, or GetAll returns ErrLost.
func (s *Socket) GetAll(m *Messages, each func(i int, r Reply), refused func(i int, err error)) error {
	if m.Count() == 0 {
		return nil
	}
	m.Ack()
	first, err := s.submit(m)
	if err != nil {
		return err
	}
	last := uint32(m.Count()) - 1
	for {
		b, err := s.answers(first + last)
		if err != nil {
			return err
		}
		for len(b) > 0 {
			var r Reply
			if r, b, err = next(b); err != nil {
				return err
			}
			i := r.Seq - first
			if i > last {
				continue // of an earlier write that was given up
			}
			if r.Kind != unix.NLMSG_ERROR {
				each(int(i), r)
				continue
			}
			if err := failure(r); err != nil {
				refused(int(i), err)
			}
			if i == last {
				s.pending = false
				return nil
			}
		}
	}
}

// Do sends messages and returns the errors of those that the kernel refuses.
func (s *Socket) Do(m *Messages) error {
	var errs []error
	err := s.Write(m, func(_ int, err error) { errs = append(errs, err) })
	if err == nil && len(errs) == 1 {
		return errs[0]
	}
	return errors.Join(append(errs, err)...)
}

// ErrInterrupted means that the kernel's state changed during a dump
// (NLM_F_DUMP_INTR): the dump may lack objects or have some twice.
var ErrInterrupted = errors.New("changed while it was read")

// Dump sends one message, to which it adds NLM_F_DUMP, and calls each for every
// object that the kernel returns. It returns ErrInterrupted or ErrLost if the
// result is not consistent; see Repeat.
func (s *Socket) Dump(m *Messages, each func(Reply)) error { return s.query(m, unix.NLM_F_DUMP, each) }

// Get sends one message and calls each for every object that the kernel returns,
// usually one.
func (s *Socket) Get(m *Messages, each func(Reply)) error { return s.query(m, unix.NLM_F_ACK, each) }

func (s *Socket) query(m *Messages, flags uint16, each func(Reply)) error {
	if m.Count() != 1 {
		return fmt.Errorf("query the kernel: want 1 message, got %d", m.Count())
	}
	m.flag(flags)
	seq, err := s.submit(m)
	if err != nil {
		return err
	}
	var incomplete error
	for {
		b, err := s.answer()
		switch {
		case errors.Is(err, unix.ENOBUFS):
			incomplete = err // The kernel refuses another dump until this one is read.
			continue
		case err != nil:
			return err
		}
		for len(b) > 0 {
			var r Reply
			if r, b, err = next(b); err != nil {
				return err
			}
			if r.Seq != seq {
				continue // of an earlier request that was given up
			}
			if r.Flags&unix.NLM_F_DUMP_INTR != 0 && incomplete == nil {
				incomplete = ErrInterrupted
			}
			if r.Kind == unix.NLMSG_DONE || r.Kind == unix.NLMSG_ERROR {
				s.pending = false
				return finished(r, incomplete)
			}
			each(r)
		}
	}
}

// finished returns the outcome of a query, whose last message is r.
func finished(r Reply, incomplete error) error {
	if r.Kind == unix.NLMSG_ERROR || len(r.Body) >= 4 {
		if err := failure(r); err != nil {
			return err
		}
	}
	return incomplete
}

// dumpTries bounds how often Repeat calls its function.
const dumpTries = 10

// Repeat calls f again while it returns ErrInterrupted or ENOBUFS, ten times at
// most. f makes one or more dumps that belong together and has to begin each time
// with an empty result. The error names what was read.
func Repeat(what string, f func() error) error {
	var err error
	for range dumpTries {
		if err = f(); !errors.Is(err, ErrInterrupted) && !errors.Is(err, unix.ENOBUFS) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", what, err)
	}
	return nil
}
