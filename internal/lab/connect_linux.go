// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"fairlead/internal/inet"
)

// connect must run inside the namespace. An address literal keeps the dialer
// from handing the work to goroutines, which would be outside of it.
func connect(ctx context.Context, h *Host, from netip.Addr, to inet.Addr) (net.Conn, error) {
	switch to.Proto {
	case inet.TCP:
		return connectTCP(ctx, from, to.AddrPort())
	case inet.UDP:
		return h.connectUDP(ctx, from, to.AddrPort())
	case inet.SCTP:
		d := net.Dialer{Control: reportICMP}
		if from.IsValid() {
			d.LocalAddr = &net.IPAddr{IP: from.AsSlice()}
		}
		return d.DialContext(ctx, sctpNetwork(to.IP), to.IP.String())
	}
	return nil, fmt.Errorf("protocol %s has no client", to.Proto)
}

// reportICMP makes a datagram socket fail on every ICMP unreachable, not only on
// "port unreachable".
func reportICMP(network, _ string, c syscall.RawConn) error {
	var err error
	set := func(fd uintptr) {
		if strings.HasSuffix(network, "6") {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_RECVERR, 1)
		} else {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_RECVERR, 1)
		}
	}
	return errors.Join(c.Control(set), err)
}

// connectTCP is connect(2) that also notices soft errors. Between namespaces of
// one machine an ICMP error can arrive while connect still holds the socket;
// then the kernel only takes a note, and the client learns of it when it sends
// its SYN again, a second later (tcp_v4_err).
func connectTCP(ctx context.Context, from netip.Addr, to netip.AddrPort) (net.Conn, error) {
	family := unix.AF_INET6
	if to.Addr().Is4() {
		family = unix.AF_INET
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open socket: %w", err)
	}
	file := os.NewFile(uintptr(fd), to.String())
	defer func() { _ = file.Close() }()
	if from.IsValid() {
		if err := bindAddr(fd, from); err != nil {
			return nil, fmt.Errorf("bind to %s: %w", from, err)
		}
	}
	if err := unix.Connect(fd, sockaddr(to)); err != nil && !errors.Is(err, unix.EINPROGRESS) {
		return nil, fmt.Errorf("connect: %w", err)
	}
	if err := waitConnected(ctx, fd); err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	conn, err := net.FileConn(file) // a duplicate
	if err != nil {
		return nil, err
	}
	return conn, probe(conn)
}

// bindAddr leaves the choice of the port to connect, which counts up for each destination (RFC
// 6056, algorithm 4). bind would choose at random. Once in thousands of connections its choice is
// the port of one before, whose entry in connection tracking can still lead elsewhere.
func bindAddr(fd int, from netip.Addr) error {
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err != nil {
		return err
	}
	return unix.Bind(fd, sockaddr(netip.AddrPortFrom(from, 0)))
}

// ProbeEvery is how often an idle TCP connection asks whether its peer is still there.
const ProbeEvery = 5 * time.Second

// probe makes the kernel ask for ten minutes before it ends a connection. With the defaults
// of Go it does after 150 s of silence. Without any probes, a client that waits for an answer
// never learns that its server has lost the connection.
func probe(c net.Conn) error {
	if t, ok := c.(*net.TCPConn); ok {
		return t.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: ProbeEvery, Interval: ProbeEvery, Count: int(10 * time.Minute / ProbeEvery)})
	}
	return nil
}

func waitConnected(ctx context.Context, fd int) error {
	const step = 10 // milliseconds between looks at ctx and at the soft error
	for wait := 0; ; wait = step {
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
		_, err := unix.Poll(poll, wait)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
		errno, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
		switch {
		case err != nil:
			return err
		case errno != 0:
			return unix.Errno(errno)
		case poll[0].Revents&unix.POLLOUT != 0:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		}
	}
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Addr: a.Addr().As4(), Port: int(a.Port())}
	}
	return &unix.SockaddrInet6{Addr: a.Addr().As16(), Port: int(a.Port())}
}
