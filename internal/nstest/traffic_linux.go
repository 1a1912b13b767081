// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nstest

import (
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"fairlead/internal/netns"
)

// Sink serves port 80 of a namespace over TCP until t ends: it greets each
// connection with a byte and reads until its end. Benchmarks measure against it.
func Sink(t testing.TB, ns *netns.NS) {
	t.Helper()
	for _, network := range []string{"tcp4", "tcp6"} { // "tcp" depends on what the first namespace can do
		var l net.Listener
		if err := ns.Do(func() (err error) { l, err = net.Listen(network, ":80"); return err }); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go swallow(c)
			}
		}()
	}
}

func swallow(c net.Conn) {
	_, err := c.Write([]byte{'.'})
	buf := make([]byte, 1<<18)
	for err == nil {
		_, err = c.Read(buf)
	}
	_ = c.Close()
}

// Connects makes n connections to a Sink, one after the other, and returns how
// long that took. It is called inside the client's namespace.
func Connects(to netip.AddrPort, n int) (time.Duration, error) {
	begin := time.Now()
	for range n {
		fd, err := open(to)
		if err != nil {
			return 0, err
		}
		_ = unix.Close(fd)
	}
	return time.Since(begin), nil
}

// Stream sends n bytes over one connection to a Sink, waits until all of them are
// acknowledged, and returns how long that took. It is called inside the client's
// namespace.
func Stream(to netip.AddrPort, n int) (time.Duration, error) {
	fd, err := open(to)
	if err != nil {
		return 0, err
	}
	defer func() { _ = unix.Close(fd) }()
	buf := make([]byte, 1<<18)
	begin := time.Now()
	for left := n; left > 0; {
		n, err := unix.Write(fd, buf[:min(len(buf), left)])
		if err != nil {
			return 0, os.NewSyscallError("write", err)
		}
		left -= n
	}
	for { // until the queue of the socket is empty
		n, err := unix.IoctlGetInt(fd, unix.SIOCOUTQ)
		if err != nil || n == 0 {
			return time.Since(begin), err
		}
	}
}

// open is connect(2) without Go's scheduler in the way, up to the first byte.
func open(to netip.AddrPort) (int, error) {
	family, sa := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Addr: to.Addr().As16(), Port: int(to.Port())})
	if to.Addr().Is4() {
		family, sa = unix.AF_INET, &unix.SockaddrInet4{Addr: to.Addr().As4(), Port: int(to.Port())}
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	// No TIME_WAIT: ports would run out.
	err = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	if err == nil {
		err = unix.Connect(fd, sa)
	}
	if err == nil {
		_, err = unix.Read(fd, make([]byte, 1))
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, os.NewSyscallError("connect", err)
	}
	return fd, nil
}
