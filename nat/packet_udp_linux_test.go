// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nat_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"fairlead/internal/lab"
	"fairlead/internal/netns"
)

// datagrams is a UDP socket for packets in one direction, which nobody answers.
type datagrams struct{ fd int }

// listen opens one port on all addresses of a host, as a VXLAN device does.
func listen(t *testing.T, h *lab.Host, family int, port uint16) *datagrams {
	t.Helper()
	all := [2]netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}[family]
	return openDatagrams(t, h, netip.AddrPortFrom(all, port))
}

// speak opens any port on one address of a host.
func speak(t *testing.T, h *lab.Host, src netip.Addr) *datagrams {
	t.Helper()
	return openDatagrams(t, h, netip.AddrPortFrom(src, 0))
}

func openDatagrams(t *testing.T, h *lab.Host, local netip.AddrPort) *datagrams {
	t.Helper()
	d := &datagrams{fd: openSocket(t, h, local, unix.SOCK_DGRAM, 0)}
	if local.Addr().Is4() {
		check(t, unix.SetsockoptInt(d.fd, unix.SOL_SOCKET, unix.SO_BROADCAST, 1))
	}
	return d
}

// openSocket opens a socket in the namespace of a host, until the test ends.
func openSocket(t *testing.T, h *lab.Host, local netip.AddrPort, typ, proto int) (fd int) {
	t.Helper()
	family := unix.AF_INET6
	if local.Addr().Is4() {
		family = unix.AF_INET
	}
	check(t, h.NS.Do(func() (err error) {
		fd, err = unix.Socket(family, typ|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, proto)
		return err
	}))
	t.Cleanup(func() { check(t, unix.Close(fd)) })
	if family == unix.AF_INET6 && typ == unix.SOCK_DGRAM {
		check(t, unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1))
	}
	check(t, unix.Bind(fd, sockaddr(local)))
	return fd
}

// via sends multicast by a device, and broadcast, too.
func (d *datagrams) via(ns *netns.NS, dev string) error {
	index, err := deviceIndex(ns, dev)
	if err != nil {
		return err
	}
	if local, _ := unix.Getsockname(d.fd); addrPort(local).Addr().Is4() {
		return errors.Join(
			unix.SetsockoptIPMreqn(d.fd, unix.IPPROTO_IP, unix.IP_MULTICAST_IF, &unix.IPMreqn{Ifindex: int32(index)}),
			unix.SetsockoptString(d.fd, unix.SOL_SOCKET, unix.SO_BINDTODEVICE, dev))
	}
	return unix.SetsockoptInt(d.fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_IF, index)
}

// join receives what is sent to a group.
func (d *datagrams) join(ns *netns.NS, dev string, group netip.Addr) error {
	index, err := deviceIndex(ns, dev)
	if err != nil {
		return err
	}
	if group.Is4() {
		return unix.SetsockoptIPMreqn(d.fd, unix.IPPROTO_IP, unix.IP_ADD_MEMBERSHIP,
			&unix.IPMreqn{Multiaddr: group.As4(), Ifindex: int32(index)})
	}
	err = unix.SetsockoptIPv6Mreq(d.fd, unix.IPPROTO_IPV6, unix.IPV6_JOIN_GROUP,
		&unix.IPv6Mreq{Multiaddr: group.As16(), Interface: uint32(index)})
	if errors.Is(err, unix.EADDRINUSE) {
		return nil
	}
	return err
}

func deviceIndex(ns *netns.NS, dev string) (index int, err error) {
	err = ns.Do(func() error {
		link, err := net.InterfaceByName(dev)
		if err == nil {
			index = link.Index
		}
		return err
	})
	return index, err
}

func (d *datagrams) send(to netip.AddrPort, text string) error {
	if err := unix.Sendto(d.fd, []byte(text), 0, sockaddr(to)); err != nil {
		return fmt.Errorf("send to %s: %w", to, err)
	}
	return nil
}

// deliver sends with f until the datagram with that text arrives, and returns
// its source. A datagram may get lost: all namespaces of a machine share one
// neighbour table, of 1024 entries.
func (d *datagrams) deliver(t *testing.T, text string, f func() error) netip.AddrPort {
	t.Helper()
	var err error
	for deadline := time.Now().Add(answered); time.Now().Before(deadline); {
		if err = f(); err != nil {
			time.Sleep(time.Millisecond)
			continue
		}
		for again := time.Now().Add(time.Second); time.Now().Before(again); poll(t, d.fd) {
			if src, ok := d.take(t, text); ok {
				return src
			}
		}
	}
	t.Fatalf("%q did not arrive: %v", text, err)
	return netip.AddrPort{}
}

// take reports whether the datagram with that text has arrived. Others that have
// arrived before it are lost.
func (d *datagrams) take(t *testing.T, text string) (netip.AddrPort, bool) {
	t.Helper()
	buf := make([]byte, 512)
	for {
		n, from, err := unix.Recvfrom(d.fd, buf, unix.MSG_DONTWAIT)
		if errors.Is(err, unix.EAGAIN) {
			return netip.AddrPort{}, false
		}
		check(t, err)
		if string(buf[:n]) == text {
			return addrPort(from), true
		}
	}
}

// poll waits a while for something to read.
func poll(t *testing.T, fd int) {
	t.Helper()
	const step = 100 // milliseconds
	_, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, step)
	if err != nil && !errors.Is(err, unix.EINTR) {
		t.Fatal(err)
	}
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Addr: a.Addr().As4(), Port: int(a.Port())}
	}
	return &unix.SockaddrInet6{Addr: a.Addr().As16(), Port: int(a.Port())}
}

func addrPort(a unix.Sockaddr) netip.AddrPort {
	switch a := a.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr), uint16(a.Port))
	}
	return netip.AddrPort{}
}
