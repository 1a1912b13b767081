// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"fairlead/internal/inet"
)

// Question is one UDP packet.
type Question struct {
	From netip.Addr // the kernel's choice if not valid
	To   netip.AddrPort
	// Size is that of the IP packet in bytes; 0 is the smallest.
	Size int
	// Whole forbids fragments, on the way and here, and ignores what the kernel
	// remembers about the way.
	Whole bool
	// Unchecked sends the packet without a checksum. IPv4 only: receivers drop such
	// packets of IPv6.
	Unchecked bool
	Wait      time.Duration
	Tries     int // packets that may be lost, 1 by default
}

// Answer is what came back.
type Answer uint8

// The answers. Answered means that the packet arrived: its receiver says that nobody
// listens there, or sends anything. Unreachable means that a host on the way says so.
const (
	Silent Answer = iota
	Answered
	TooBig
	Unreachable
)

// Ask sends a packet and waits for an answer. The MTU comes with TooBig, and is 0 if
// nobody said it. An error means that nothing was sent.
func Ask(ctx context.Context, q Question) (a Answer, mtu int, err error) {
	for range max(q.Tries, 1) {
		if a, mtu, err = ask1(ctx, &q); err != nil || a != Silent || ctx.Err() != nil {
			break
		}
	}
	return a, mtu, err
}

func ask1(ctx context.Context, q *Question) (Answer, int, error) {
	v6 := inet.FamilyOf(q.To.Addr()) == inet.IPv6
	dialer := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) error { return q.options(raw, v6) }}
	if q.From.IsValid() {
		dialer.LocalAddr = net.UDPAddrFromAddrPort(netip.AddrPortFrom(q.From, 0))
	}
	conn, err := dialer.DialContext(ctx, "udp", q.To.String())
	if err != nil {
		return Silent, 0, fmt.Errorf("ask %s: %w", q.To, err)
	}
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := conn.SetDeadline(time.Now().Add(q.Wait)); err != nil {
		return Silent, 0, fmt.Errorf("ask %s: %w", q.To, err)
	}
	headers := 28
	if v6 {
		headers = 48
	}
	_, err = conn.Write(make([]byte, max(q.Size-headers, 1)))
	if err == nil {
		_, err = conn.Read(make([]byte, 1))
	} else if !errors.Is(err, unix.EMSGSIZE) && !errors.Is(err, unix.ECONNREFUSED) {
		return Silent, 0, fmt.Errorf("ask %s: %w", q.To, err)
	}
	switch {
	case err == nil || errors.Is(err, unix.ECONNREFUSED):
		return Answered, 0, nil
	case errors.Is(err, unix.EMSGSIZE):
		return TooBig, pathMTU(conn, v6), nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return Silent, 0, nil
	}
	return Unreachable, 0, nil
}

// options prepares the socket.
func (q *Question) options(raw syscall.RawConn, v6 bool) error {
	var errs []error
	set := func(fd uintptr, level, option, value int) {
		errs = append(errs, os.NewSyscallError("setsockopt", unix.SetsockoptInt(int(fd), level, option, value)))
	}
	err := raw.Control(func(fd uintptr) {
		switch {
		case v6 && q.Whole:
			set(fd, unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_PROBE)
			set(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVERR, 1)
		case v6:
			set(fd, unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_DONT)
		case q.Whole:
			set(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE)
			set(fd, unix.IPPROTO_IP, unix.IP_RECVERR, 1)
		default:
			set(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DONT)
		}
		if q.Unchecked {
			set(fd, unix.SOL_SOCKET, unix.SO_NO_CHECK, 1)
		}
	})
	return errors.Join(append(errs, err)...)
}

// pathMTU returns the MTU that a host on the way, or this one, has told about the last
// packet of a connection: the field ee_info of struct sock_extended_err (ip(7)).
func pathMTU(conn net.Conn, v6 bool) int {
	const infoAt, errLen = 8, 16
	udp, ok := conn.(*net.UDPConn)
	if !ok {
		return 0
	}
	raw, err := udp.SyscallConn()
	if err != nil {
		return 0
	}
	mtu := 0
	_ = raw.Control(func(fd uintptr) {
		oob := make([]byte, 512)
		_, n, _, _, err := unix.Recvmsg(int(fd), make([]byte, 1), oob, unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT)
		if err != nil {
			return
		}
		list, err := unix.ParseSocketControlMessage(oob[:n])
		if err != nil {
			return
		}
		for _, m := range list {
			isErr := !v6 && m.Header.Level == unix.IPPROTO_IP && m.Header.Type == unix.IP_RECVERR ||
				v6 && m.Header.Level == unix.IPPROTO_IPV6 && m.Header.Type == unix.IPV6_RECVERR
			if isErr && len(m.Data) >= errLen {
				mtu = int(binary.NativeEndian.Uint32(m.Data[infoAt:]))
			}
		}
	})
	return mtu
}
