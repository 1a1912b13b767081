// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nl

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Whole is the index that Transact passes to refused when the kernel refuses a
// transaction without naming an operation.
const Whole = -1

// BeginTransaction empties m and starts a transaction of an nfnetlink subsystem,
// such as NFNL_SUBSYS_NFTABLES. The operations follow; see Socket.Transact.
func (m *Messages) BeginTransaction(subsystem uint8) {
	m.Reset()
	m.mark(unix.NFNL_MSG_BATCH_BEGIN, subsystem)
}

// mark adds the message that begins or ends a transaction, struct nfgenmsg, whose
// resource ID is the subsystem in network order.
func (m *Messages) mark(kind uint16, subsystem uint8) {
	m.Begin(kind, 0, unix.AF_UNSPEC, unix.NFNETLINK_V0, 0, subsystem)
}

// Operations returns the number of messages since BeginTransaction.
func (m *Messages) Operations() int { return max(len(m.starts)-1, 0) }

// Transact carries out the operations that were added to m since BeginTransaction,
// all or none. It calls refused for each operation that the kernel names, with
// its index, in order, and with Whole for a refusal that names none: for example
// a missing permission, or a fault that is found when all operations are known.
// Nothing was changed if refused was called. An error of Transact itself means
// that nothing was sent (ErrTooLarge) or that the outcome is not known.
//
// The kernel (nfnetlink_rcv_batch) works on the whole transaction before the send
// returns and continues after a failed operation. First it answers for the whole,
// if that failed, then for the operations in order. The last operation asks for an
// acknowledgement, so its answer ends them. If the socket has no room for all
// refusals, refused is called for those that fit, the first ones.
func (s *Socket) Transact(m *Messages, refused func(i int, err error)) error {
	if m.Operations() == 0 {
		return nil
	}
	m.Ack()
	m.mark(unix.NFNL_MSG_BATCH_END, m.b[m.starts[0]+headerLen+3])
	return s.transact(m, m.Operations()-1, refused)
}

// Rehearse is Transact for a transaction that ends without a commit: the kernel checks
// each operation, answers, and undoes them all. It loads modules that an operation needs,
// as Transact does. "nft -c" checks its input in this way.
func (s *Socket) Rehearse(m *Messages, refused func(i int, err error)) error {
	if m.Operations() == 0 {
		return nil
	}
	m.Ack()
	return s.transact(m, m.Operations(), refused)
}

// transact sends a transaction of n operations and reads the answers.
func (s *Socket) transact(m *Messages, n int, refused func(i int, err error)) error {
	first, err := s.submit(m)
	if err != nil {
		return err
	}
	var failed, lost bool
	for {
		b, err := s.transacted(failed || lost)
		switch {
		case errors.Is(err, unix.ENOBUFS):
			lost = true // Further refusals follow those for which there was room.
			continue
		case err != nil:
			return err
		case b == nil && failed:
			return nil
		case b == nil:
			return ErrLost
		}
		for len(b) > 0 {
			var r Reply
			if r, b, err = next(b); err != nil {
				return err
			}
			i := r.Seq - first
			if r.Kind != unix.NLMSG_ERROR || i > uint32(n)+1 {
				continue // of an earlier request that was given up
			}
			if err := failure(r); err != nil {
				failed = true
				refused(named(i, n), err)
			}
			if i == uint32(n) && !lost {
				s.pending = false
				return nil
			}
		}
	}
}

// named returns the index of the operation that message i of a transaction is.
func named(i uint32, n int) int {
	if i == 0 || i > uint32(n) {
		return Whole
	}
	return int(i) - 1
}

// transacted returns the next answers to a transaction, or nil if there are none
// left. That can only be known after a refusal: a transaction that is refused at
// its beginning has no further answers, and those of any other are there already.
func (s *Socket) transacted(failed bool) ([]byte, error) {
	if !failed {
		return s.answer()
	}
	var n int
	var err error
	if ctl := s.raw.Control(func(fd uintptr) {
		for {
			if n, _, err = s.recvfrom(fd, unix.MSG_DONTWAIT); !errors.Is(err, unix.EINTR) {
				return
			}
		}
	}); ctl != nil {
		return nil, ctl
	}
	switch {
	case errors.Is(err, unix.EAGAIN):
		s.pending = false
		return nil, nil
	case errors.Is(err, unix.ENOBUFS):
		return nil, fmt.Errorf("%w: %w", ErrLost, err)
	case err != nil:
		return nil, err
	}
	return s.buf[:n], nil
}
