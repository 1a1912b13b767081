// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nl

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Socket talks netlink. mdlayher/netlink opens it; requests and answers bypass
// the library, because it reports one error per read and a batch may have many. A
// Socket must not be used by two goroutines at a time; only Close and Ignore may be
// called from another one.
type Socket struct {
	conn    *netlink.Conn
	raw     syscall.RawConn
	calls   Calls
	seq     uint32
	buf     []byte
	timeout time.Duration
	rest    time.Duration // see Config
	refused func(error)   // see Config; may be nil
	maxSend int
	// pending is set while answers to a request that was given up may come.
	pending bool
	broken  bool // see Broken
	// connected is set if the kernel lets no other program send to this socket.
	connected bool
	late      error // of a read that followed one with answers
	copied    descriptor
}

const (
	// receiveSize lets the kernel fill pieces of 32 KiB when it dumps, the most that
	// it uses.
	receiveSize    = 64 << 10
	defaultTimeout = 10 * time.Second
	// testTimeout is the default of sockets with Calls, which take answers away.
	testTimeout = 200 * time.Millisecond
	// sendOverhead is what netlink_sendmsg keeps of the send buffer for itself.
	sendOverhead = 32
)

// Dial opens a socket. Errors name what could not be opened or set.
func Dial(cfg Config) (*Socket, error) {
	c := &netlink.Config{}
	if cfg.Namespace != nil {
		c.NetNS = cfg.Namespace.Fd()
	}
	if err := Enter(cfg.Calls); err != nil {
		return nil, fmt.Errorf("open netlink socket of protocol %d: %w", cfg.Protocol, err)
	}
	conn, err := netlink.Dial(cfg.Protocol, c)
	if err != nil {
		return nil, fmt.Errorf("open netlink socket of protocol %d: %w", cfg.Protocol, err)
	}
	s := &Socket{conn: conn, calls: cfg.Calls, buf: make([]byte, receiveSize), timeout: cfg.Timeout, rest: cfg.Rest, refused: cfg.Refused}
	switch {
	case s.timeout > 0:
	case s.calls != nil:
		s.timeout = testTimeout
	default:
		s.timeout = defaultTimeout
	}
	if err := s.setUp(&cfg); err != nil {
		return nil, errors.Join(fmt.Errorf("set up netlink socket of protocol %d: %w", cfg.Protocol, err), conn.Close())
	}
	return s, nil
}

func (s *Socket) setUp(cfg *Config) (err error) {
	// Strict checking makes the kernel filter dumps (4.20); one without it dumps
	// more, which costs time only.
	for _, o := range []netlink.ConnOption{netlink.GetStrictCheck, netlink.ExtendedAcknowledge, netlink.CapAcknowledge} {
		if err := s.conn.SetOption(o, true); err != nil && !errors.Is(err, unix.ENOPROTOOPT) {
			return err
		}
	}
	if s.raw, err = s.conn.SyscallConn(); err != nil {
		return err
	}
	if cfg.SendBuffer > 0 {
		if err := s.buffer(unix.SO_SNDBUFFORCE, unix.SO_SNDBUF, cfg.SendBuffer); err != nil {
			return err
		}
	}
	if cfg.ReceiveBuffer > 0 {
		if err := s.buffer(unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, cfg.ReceiveBuffer); err != nil {
			return err
		}
	}
	if err := s.raw.Control(func(fd uintptr) {
		s.connected = unix.Connect(int(fd), &unix.SockaddrNetlink{Family: unix.AF_NETLINK}) == nil
	}); err != nil {
		return err
	}
	size, err := s.conn.WriteBuffer()
	if err != nil {
		return err
	}
	s.maxSend = size - sendOverhead
	for _, g := range cfg.Groups { // last, so that the buffer is large by then
		if err := s.conn.JoinGroup(g); err != nil {
			return fmt.Errorf("join group %d: %w", g, err)
		}
	}
	return nil
}

// Reserve makes room for one write of n bytes, beyond the limit of the machine with
// CAP_NET_ADMIN in the initial user namespace. MaxSend then says how much there is.
func (s *Socket) Reserve(n int) error {
	if n <= s.maxSend {
		return nil
	}
	if err := s.buffer(unix.SO_SNDBUFFORCE, unix.SO_SNDBUF, n); err != nil { // the kernel doubles it
		return fmt.Errorf("make a send buffer of %d bytes: %w", n, err)
	}
	size, err := s.conn.WriteBuffer()
	if err != nil {
		return err
	}
	s.maxSend = size - sendOverhead
	return nil
}

// buffer sets the size of a buffer beyond the limit of the machine if it may.
func (s *Socket) buffer(force, plain, size int) error {
	set := func(fd, option, size int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, option, size) }
	if calls, ok := s.calls.(BufferCalls); ok {
		set = calls.SetBuffer
	}
	var failed error
	err := s.raw.Control(func(fd uintptr) {
		if failed = set(int(fd), force, size); errors.Is(failed, unix.EPERM) {
			failed = set(int(fd), plain, size)
		}
	})
	return errors.Join(err, failed)
}

// Close closes the socket. A call that waits returns with an error.
func (s *Socket) Close() error { return s.conn.Close() }

// Port returns the netlink port of the socket: see Reply.Port.
func (s *Socket) Port() uint32 { return s.conn.PID() }

// MaxSend returns how many bytes fit into one write.
func (s *Socket) MaxSend() int { return s.maxSend }

// ErrLost means that the kernel had answers for which the socket had no room
// (ENOBUFS), or that an answer is missing. What happened to the requests is not
// known. The socket remains usable.
var ErrLost = errors.New("answers of the kernel were lost")

// submit numbers and sends messages, and returns the number of the first.
func (s *Socket) submit(m *Messages) (first uint32, err error) {
	if m.err != nil {
		return 0, m.err
	}
	if len(m.b) > s.maxSend {
		return 0, fmt.Errorf("send %d messages of %d bytes, the limit is %d: %w", len(m.starts), len(m.b), s.maxSend, ErrTooLarge)
	}
	if err := s.drain(); err != nil {
		return 0, err
	}
	s.pending = true
	first = s.seq + 1
	s.seq += uint32(len(m.starts))
	m.number(first)
	return first, s.send(m.b)
}

// drain reads what is left of a request that was given up. Until then the kernel
// drops further answers if some were lost, and refuses another dump.
func (s *Socket) drain() error {
	if !s.pending {
		return nil
	}
	s.late = nil
	var failed error
	deadline := time.Now().Add(s.timeout)
	err := s.raw.Control(func(fd uintptr) {
		for failed == nil || errors.Is(failed, unix.EINTR) || errors.Is(failed, unix.ENOBUFS) {
			if _, _, failed = s.recvfrom(fd, unix.MSG_DONTWAIT); time.Now().After(deadline) {
				failed = fmt.Errorf("earlier answers do not end: %w", ErrLost)
			}
		}
	})
	if err == nil && !errors.Is(failed, unix.EAGAIN) {
		err = failed
	}
	s.pending = err != nil
	return err
}

// send sends b. Only if there is no room it waits, and sets a deadline, which costs a timer.
func (s *Socket) send(b []byte) error {
	err := s.write(b, false)
	if !errors.Is(err, unix.EAGAIN) {
		return err
	}
	if err := s.conn.SetWriteDeadline(time.Now().Add(s.timeout)); err != nil {
		return err
	}
	err = s.write(b, true)
	return errors.Join(err, s.conn.SetWriteDeadline(time.Time{}))
}

// write is send without a deadline. Without wait it returns EAGAIN where there is no room.
func (s *Socket) write(b []byte, wait bool) error {
	var failed error
	err := s.raw.Write(func(fd uintptr) bool {
		for {
			failed = s.sendto(fd, b)
			if !errors.Is(failed, unix.EINTR) {
				return !wait || !errors.Is(failed, unix.EAGAIN)
			}
		}
	})
	if err != nil {
		return err
	}
	return failed
}

// answer waits for what one read gives, no longer than the timeout.
func (s *Socket) answer() ([]byte, error) { return s.await(s.read) }

// answers is answer for several reads, up to the answer to the last message of a request.
func (s *Socket) answers(last uint32) ([]byte, error) {
	return s.await(func(wait bool) ([]byte, error) {
		b, err := s.read(wait)
		if err != nil || isLast(b, last) {
			return b, err
		}
		return s.more(len(b), last)
	})
}

// await calls receive, which hardly ever has to wait: the kernel answers before a request has been
// sent. Then no deadline is set, which costs a timer.
func (s *Socket) await(receive func(wait bool) ([]byte, error)) ([]byte, error) {
	if err := s.late; err != nil {
		s.late = nil
		return nil, err
	}
	b, err := receive(false)
	if errors.Is(err, unix.EAGAIN) {
		if err := s.conn.SetReadDeadline(time.Now().Add(s.timeout)); err != nil {
			return nil, err
		}
		b, err = receive(true)
		if err := s.conn.SetReadDeadline(time.Time{}); err != nil {
			return nil, err
		}
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, fmt.Errorf("no answer within %v: %w", s.timeout, ErrLost)
	case errors.Is(err, unix.ENOBUFS):
		return nil, fmt.Errorf("%w: %w", ErrLost, err)
	}
	return b, err
}

// read returns what one read gives; it is valid until the next. Without wait it returns EAGAIN
// where there is nothing to read.
func (s *Socket) read(wait bool) ([]byte, error) {
	for {
		var n int
		var from unix.Sockaddr
		var failed error
		err := s.raw.Read(func(fd uintptr) bool {
			for {
				// MSG_TRUNC makes the kernel return the length that it had.
				n, from, failed = s.recvfrom(fd, unix.MSG_TRUNC)
				if !errors.Is(failed, unix.EINTR) {
					return !wait || !errors.Is(failed, unix.EAGAIN)
				}
			}
		})
		if err == nil {
			err = failed
		}
		if err != nil {
			return nil, err
		}
		if a, ok := from.(*unix.SockaddrNetlink); !ok || a.Pid != 0 {
			continue // of another program
		}
		if n > len(s.buf) {
			return nil, fmt.Errorf("read %d bytes into %d: %w", n, len(s.buf), ErrMalformed)
		}
		return s.buf[:n], nil
	}
}

// answerRoom is more than the kernel puts into one answer that is no part of a dump.
const answerRoom = 32 << 10

// more reads what has come behind n bytes of answers, as far as there is room. It keeps an
// error for the next read.
func (s *Socket) more(n int, last uint32) ([]byte, error) {
	err := s.raw.Control(func(fd uintptr) {
		for s.late == nil && padded(n)+answerRoom <= len(s.buf) {
			n = padded(n)
			size, err := s.recvNow(fd, s.buf[n:])
			switch {
			case errors.Is(err, unix.EAGAIN):
				return
			case errors.Is(err, unix.EINTR):
				continue
			case errors.Is(err, unix.ENOBUFS):
				err = fmt.Errorf("%w: %w", ErrLost, err)
			case size >= len(s.buf)-n:
				err = fmt.Errorf("read %d bytes and more: %w", size, ErrMalformed)
			}
			if s.late = err; err != nil {
				return
			}
			n += size
			if isLast(s.buf[n-size:n], last) {
				return
			}
		}
	})
	return s.buf[:n], err
}

// recvNow reads what the kernel has sent, 0 bytes for what another program has. It does not
// wait.
func (s *Socket) recvNow(fd uintptr, b []byte) (int, error) {
	if s.connected && s.calls == nil { // unlike recvfrom it allocates nothing
		n, err := unix.Read(int(fd), b)
		return max(n, 0), s.judge(err)
	}
	n, from, err := s.receiveInto(fd, b, unix.MSG_TRUNC|unix.MSG_DONTWAIT)
	if a, ok := from.(*unix.SockaddrNetlink); err == nil && (!ok || a.Pid != 0) {
		return 0, nil
	}
	return max(n, 0), err
}

func (s *Socket) sendto(fd uintptr, b []byte) error {
	var err error
	if s.calls != nil {
		err = s.calls.Send(int(fd), b)
	} else {
		err = unix.Sendto(int(fd), b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	}
	return s.judge(err)
}

func (s *Socket) recvfrom(fd uintptr, flags int) (n int, from unix.Sockaddr, err error) {
	return s.receiveInto(fd, s.buf, flags)
}

func (s *Socket) receiveInto(fd uintptr, b []byte, flags int) (n int, from unix.Sockaddr, err error) {
	if s.calls != nil {
		n, from, err = s.calls.Receive(int(fd), b, flags)
	} else {
		n, from, err = unix.Recvfrom(int(fd), b, flags)
	}
	return n, from, s.judge(err)
}

// judge notes an error of a system call after which the socket is of no use. It returns
// the error.
func (s *Socket) judge(err error) error {
	switch err {
	case nil, unix.EINTR, unix.EAGAIN, unix.ENOBUFS, unix.ENOMEM, unix.EMSGSIZE: //nolint:errorlint // system calls return bare numbers
	default:
		s.broken = s.broken || !errors.Is(err, os.ErrDeadlineExceeded)
	}
	return err
}

// Broken reports whether a system call failed in a way that the next ones will not
// survive. Then close the socket and open another one.
func (s *Socket) Broken() bool { return s.broken }
