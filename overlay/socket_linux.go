// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"fairlead/internal/netns"
)

// socket talks rtnetlink in one network namespace. The library opens it; what
// goes over it is ours, as the library reports only one error per read and a
// batch may have several.
type socket struct {
	conn *netlink.Conn
	raw  syscall.RawConn
	seq  uint32
	buf  []byte
	// before, if set, is called before each write and may make it fail: tests
	// use it to stop at any point.
	before func() error
	batch  int // how many requests go out at once
}

// receiveSize makes the kernel fill pieces of 32 KiB when it dumps.
const receiveSize = 64 << 10

func dial(ns *netns.NS, groups uint32) (*socket, error) {
	cfg := &netlink.Config{Groups: groups}
	if ns != nil {
		cfg.NetNS = ns.Fd()
	}
	conn, err := netlink.Dial(unix.NETLINK_ROUTE, cfg)
	if err != nil {
		return nil, fmt.Errorf("open rtnetlink socket: %w", err)
	}
	s := &socket{conn: conn, buf: make([]byte, receiveSize), batch: batchSize}
	// Strict checking makes the kernel filter dumps (4.20); one that does not know
	// it dumps more, which costs time only.
	for _, o := range []netlink.ConnOption{netlink.GetStrictCheck, netlink.ExtendedAcknowledge, netlink.CapAcknowledge} {
		if err := conn.SetOption(o, true); err != nil && !errors.Is(err, unix.ENOPROTOOPT) {
			return nil, errors.Join(fmt.Errorf("set up rtnetlink socket: %w", err), conn.Close())
		}
	}
	if s.raw, err = conn.SyscallConn(); err != nil {
		return nil, errors.Join(fmt.Errorf("set up rtnetlink socket: %w", err), conn.Close())
	}
	return s, nil
}

func (s *socket) close() error { return s.conn.Close() }

func (s *socket) send(b []byte) error {
	var failed error
	err := s.raw.Write(func(fd uintptr) bool {
		failed = unix.Sendto(int(fd), b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
		return !errors.Is(failed, unix.EAGAIN)
	})
	return errors.Join(err, failed)
}

// receive returns what one read gives; it is valid until the next.
func (s *socket) receive() ([]byte, error) {
	var n int
	var failed error
	err := s.raw.Read(func(fd uintptr) bool {
		for {
			n, _, failed = unix.Recvfrom(int(fd), s.buf, 0)
			if !errors.Is(failed, unix.EINTR) {
				return !errors.Is(failed, unix.EAGAIN)
			}
		}
	})
	if err := errors.Join(err, failed); err != nil {
		return nil, err
	}
	return s.buf[:n], nil
}

// batchSize is how many requests go out at once. Should each of them fail, the
// answers still fit into the socket's buffer.
const batchSize = 100

// write carries out n requests, which encode makes one by one, and calls refused
// for those that the kernel does not take. An error means that nothing is known
// about the outcome.
//
// The kernel works on the requests of one message in order and before send
// returns. It always reports failures; so one acknowledgement, for the last
// request, stands for all that did not fail.
func (s *socket) write(n int, encode func(i int, r *requests, seq uint32), refused func(i int, err error)) error {
	if n == 0 {
		return nil
	}
	if s.before != nil {
		if err := s.before(); err != nil {
			return err
		}
	}
	first := s.seq + 1
	s.seq += uint32(n)
	var r requests
	for i := range n {
		encode(i, &r, first+uint32(i))
	}
	r.ack()
	if err := s.send(r.b); err != nil {
		return err
	}
	for {
		b, err := s.receive()
		if err != nil {
			return err
		}
		for m := range replies(b) {
			i := m.seq - first
			if m.kind != unix.NLMSG_ERROR || i >= uint32(n) {
				continue // of an earlier write that was given up
			}
			if err := failure(m); err != nil {
				refused(int(i), err)
			}
			if i == uint32(n)-1 {
				return nil
			}
		}
	}
}

// request carries out a single request.
func (s *socket) request(encode func(r *requests, seq uint32)) error {
	var failed error
	err := s.write(1, func(_ int, r *requests, seq uint32) { encode(r, seq) }, func(_ int, err error) { failed = err })
	return errors.Join(err, failed)
}

const (
	ackCapped = 0x100 // NLM_F_CAPPED: the request is not repeated
	ackTLVs   = 0x200 // NLM_F_ACK_TLVS: attributes follow
	ackText   = 1     // NLMSGERR_ATTR_MSG
)

// failure returns the error that m reports, with the kernel's own words.
func failure(m reply) error {
	if len(m.body) < 4+headerLen {
		return fmt.Errorf("short answer of %d bytes", len(m.body))
	}
	errno := unix.Errno(-int32(u32(m.body)))
	if errno == 0 {
		return nil
	}
	if m.flags&ackTLVs == 0 || m.flags&ackCapped == 0 {
		return errno
	}
	for kind, v := range attrs(m.body[4+headerLen:]) {
		if kind == ackText {
			return fmt.Errorf("%w: %s", errno, str(v))
		}
	}
	return errno
}

// errChanged means that the kernel's state changed while it was dumped.
var errChanged = errors.New("changed while it was read")

// dump asks for all objects that a request names and calls f for each.
func (s *socket) dump(kind uint16, body []byte, filter func(r *requests), f func(reply)) error {
	s.seq++
	var r requests
	r.begin(kind, unix.NLM_F_DUMP, s.seq, body...)
	if filter != nil {
		filter(&r)
	}
	if err := s.send(r.b); err != nil {
		return err
	}
	changed := false
	for {
		b, err := s.receive()
		if err != nil {
			return err
		}
		for m := range replies(b) {
			if m.seq != s.seq {
				continue
			}
			changed = changed || m.flags&unix.NLM_F_DUMP_INTR != 0
			switch m.kind {
			case unix.NLMSG_DONE:
				if changed {
					return errChanged
				}
				return nil
			case unix.NLMSG_ERROR:
				return failure(m)
			default:
				f(m)
			}
		}
	}
}
