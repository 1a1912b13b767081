// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package rig

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"fairlead/internal/inet"
	"fairlead/internal/lab"
)

// Echo answers on a TCP and on a UDP port of a host with name, until the process ends.
// A connection is greeted with name; what comes in on it is sent back until its end.
func Echo(h *lab.Host, name string, port uint16) error {
	var l net.Listener
	var c *net.UDPConn
	err := h.NS.Do(func() (err error) {
		if l, err = net.Listen("tcp4", fmt.Sprint(":", port)); err != nil {
			return err
		}
		c, err = net.ListenUDP("udp4", &net.UDPAddr{Port: int(port)})
		return err
	})
	if err != nil {
		return fmt.Errorf("serve on %s: %w", h.Name, err)
	}
	go echoStreams(l, name)
	go echoDatagrams(c, name)
	return nil
}

func echoStreams(l net.Listener, name string) {
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			go echoStream(c, name)
		}
	}
}

func echoStream(c net.Conn, name string) {
	defer func() { _ = c.Close() }()
	_, err := c.Write([]byte(name))
	buf := make([]byte, 1<<16)
	for err == nil {
		var n int
		if n, err = c.Read(buf); err == nil && n < 64 { // a bulk transfer is swallowed
			_, err = c.Write(buf[:n])
		}
	}
}

func echoDatagrams(c *net.UDPConn, name string) {
	buf := make([]byte, 64)
	for {
		_, from, err := c.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			_, _ = c.WriteToUDPAddrPort([]byte(name), from)
		}
	}
}

// Times are how long each of a series of requests took.
type Times []time.Duration

// PerSecond is how many there are in a second, one after the other.
func (t Times) PerSecond() float64 {
	var sum time.Duration
	for _, d := range t {
		sum += d
	}
	return float64(len(t)) / sum.Seconds()
}

// At returns the time that a share q of all did not exceed.
func (t Times) At(q float64) time.Duration {
	sorted := slices.Sorted(slices.Values(t))
	return sorted[int(q*float64(len(sorted)-1))]
}

// Flow makes n new flows to an address, one after the other, and waits for the answer
// on each. It must be called in the client's namespace. An answer of another server
// than want is an error. first is the source port of the first; each has its own.
func Flow(proto inet.Proto, to netip.AddrPort, want string, n int, first uint16) (Times, error) {
	times := make(Times, 0, n)
	for i := range n {
		start := time.Now()
		fd, err := flow(proto, to, want, first+uint16(i))
		if err != nil {
			return nil, fmt.Errorf("flow to %s: %w", to, err)
		}
		times = append(times, time.Since(start))
		_ = unix.Close(fd)
	}
	return times, nil
}

// RoundTrips sends n requests over one connection.
func RoundTrips(to netip.AddrPort, want string, n int, source uint16) (Times, error) {
	fd, err := flow(inet.TCP, to, want, source)
	if err != nil {
		return nil, fmt.Errorf("connection to %s: %w", to, err)
	}
	defer func() { _ = unix.Close(fd) }()
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return nil, err
	}
	times := make(Times, 0, n)
	buf := []byte("request")
	for range n {
		start := time.Now()
		if _, err := again(unix.Write, fd, buf); err != nil {
			return nil, os.NewSyscallError("write", err)
		}
		if _, err := again(unix.Read, fd, buf); err != nil {
			return nil, os.NewSyscallError("read", err)
		}
		times = append(times, time.Since(start))
	}
	return times, nil
}

// Stream sends n bytes over one connection and waits until all are acknowledged.
func Stream(to netip.AddrPort, want string, n int, source uint16) (time.Duration, error) {
	fd, err := flow(inet.TCP, to, want, source)
	if err != nil {
		return 0, fmt.Errorf("connection to %s: %w", to, err)
	}
	defer func() { _ = unix.Close(fd) }()
	buf := make([]byte, 1<<16)
	start := time.Now()
	for left := n; left > 0; {
		n, err := again(unix.Write, fd, buf[:min(len(buf), left)])
		if err != nil {
			return 0, os.NewSyscallError("write", err)
		}
		left -= n
	}
	for {
		queued, err := unix.IoctlGetInt(fd, unix.SIOCOUTQ)
		if err != nil || queued == 0 {
			return time.Since(start), err
		}
	}
}

// flow opens a socket without Go's scheduler in the way and reads the server's name.
// Linger 0 leaves no TIME_WAIT, of which ports would run out.
func flow(proto inet.Proto, to netip.AddrPort, want string, source uint16) (fd int, err error) {
	kind := unix.SOCK_STREAM
	if proto == inet.UDP {
		kind = unix.SOCK_DGRAM
	}
	if fd, err = unix.Socket(unix.AF_INET, kind|unix.SOCK_CLOEXEC, 0); err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	defer func() {
		if err != nil {
			_ = unix.Close(fd)
		}
	}()
	if err := errors.Join(
		unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 2}),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &unix.Timeval{Sec: 2}),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
		unix.Bind(fd, &unix.SockaddrInet4{Port: int(source)}),
		connect(fd, &unix.SockaddrInet4{Addr: to.Addr().As4(), Port: int(to.Port())}),
	); err != nil {
		return -1, err
	}
	if proto == inet.UDP {
		if _, err := again(unix.Write, fd, []byte("?")); err != nil {
			return -1, os.NewSyscallError("write", err)
		}
	}
	buf := make([]byte, 64)
	n, err := again(unix.Read, fd, buf)
	if err != nil {
		return -1, os.NewSyscallError("read", err)
	}
	if got := string(buf[:n]); got != want {
		return -1, fmt.Errorf("%q answered, want %q", got, want)
	}
	return fd, nil
}

// again calls until no signal interrupts. Go's scheduler sends signals to its threads, and on a
// socket with a timeout the kernel does not restart the call by itself, see signal(7).
func again(call func(fd int, buf []byte) (int, error), fd int, buf []byte) (n int, err error) {
	for {
		if n, err = call(fd, buf); !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}

// connect is the same for connect(2). Linux goes on with a connection that was begun.
func connect(fd int, to unix.Sockaddr) error {
	for {
		if err := unix.Connect(fd, to); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
