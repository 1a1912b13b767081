// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"fairlead/internal/lab"
)

// TestPacketUDPSockets replaces the endpoint behind UDP sockets of two further
// kinds: one of IPv6 that dials a mapped IPv4 address, and one that is not
// connected. Both go on, and get answers from the Service's address.
func TestPacketUDPSockets(t *testing.T) {
	t.Parallel()
	b := newBed(t, defaults(), lab.PTP)
	b.apply(t, serviceObject(1, everyProtocol))
	b.apply(t, slicesWith(1, everyProtocolPorts(), ready(b.here))...)
	to := b.frontend("ClusterIP", 1, 0).AddrPort()
	mapped := b.mappedSocket(t, to)
	var open net.PacketConn
	check(t, b.client.NS.Do(func() (err error) {
		open, err = net.ListenPacket("udp4", "0.0.0.0:0")
		return err
	}))
	t.Cleanup(func() { _ = open.Close() })
	askMapped := func() string {
		if _, err := mapped.Write([]byte("?\n")); err != nil {
			return err.Error()
		}
		return read(t, mapped, mapped.Read)
	}
	askOpen := func() string {
		if _, err := open.WriteTo([]byte("?\n"), net.UDPAddrFromAddrPort(to)); err != nil {
			return err.Error()
		}
		return read(t, open, func(p []byte) (int, error) {
			n, from, err := open.ReadFrom(p)
			if err == nil && from.String() != to.String() {
				err = fmt.Errorf("answer from %s, want %s", from, to)
			}
			return n, err
		})
	}
	for _, pod := range []*lab.Pod{b.here, b.there, b.here} {
		b.apply(t, slicesWith(1, everyProtocolPorts(), ready(pod))...)
		for name, ask := range map[string]func() string{"mapped": askMapped, "not connected": askOpen} {
			last := ""
			waitFor(t, name+" socket reaches "+pod.Name, func() bool {
				last = ask()
				return strings.Contains(last, pod.Name)
			})
		}
	}
}

// mappedSocket returns a UDP socket of IPv6 in the client's namespace that is
// connected to ::ffff:to.
func (b *bed) mappedSocket(t *testing.T, to netip.AddrPort) net.Conn {
	t.Helper()
	var conn net.Conn
	check(t, b.client.NS.Do(func() error {
		fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			return err
		}
		file := os.NewFile(uintptr(fd), "mapped")
		defer func() { _ = file.Close() }()
		at := &unix.SockaddrInet6{Addr: to.Addr().As16(), Port: int(to.Port())}
		if err := unix.Connect(fd, at); err != nil {
			return err
		}
		conn, err = net.FileConn(file)
		return err
	}))
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// read returns what a socket receives within a short time, or the error.
func read(t *testing.T, c interface{ SetReadDeadline(time.Time) error }, f func([]byte) (int, error)) string {
	t.Helper()
	check(t, c.SetReadDeadline(time.Now().Add(silence)))
	buf := make([]byte, 1500)
	n, err := f(buf)
	if err != nil {
		return err.Error()
	}
	return string(buf[:n])
}
