// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"fairlead/internal/inet"
)

// Server answers on one port of a host, on each of its addresses, with its name
// and the source it saw.
type Server struct {
	name     string
	accepted atomic.Int64
	open     atomic.Int64

	mu      sync.Mutex
	sockets []io.Closer
	conns   map[net.Conn]struct{}
	done    bool
}

// Serve starts a server named like the host. It stops with the host.
func (h *Host) Serve(proto inet.Proto, port uint16) (*Server, error) {
	return h.ServeAs(h.Name, proto, port, h.Addrs()...)
}

// ServeAs starts a server with a name of its own on some of the host's
// addresses.
func (h *Host) ServeAs(name string, proto inet.Proto, port uint16, addrs ...netip.Addr) (*Server, error) {
	s := &Server{name: name, conns: map[net.Conn]struct{}{}}
	for _, a := range addrs {
		at := inet.Addr{IP: a, Port: port, Proto: proto}
		if err := h.NS.Do(func() error { return s.listen(at) }); err != nil {
			return nil, errors.Join(fmt.Errorf("listen on %s in %s: %w", at, h.Name, err), s.Close())
		}
	}
	return s, h.own(s)
}

// Accepted returns how many connections, requests or associations were answered.
func (s *Server) Accepted() int { return int(s.accepted.Load()) }

// Open returns how many TCP connections are open now.
func (s *Server) Open() int { return int(s.open.Load()) }

// Close stops the server and resets its connections.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done {
		return nil
	}
	s.done = true
	var errs []error
	for _, c := range s.sockets {
		errs = append(errs, c.Close())
	}
	for c := range s.conns {
		if t, ok := c.(*net.TCPConn); ok {
			_ = t.SetLinger(0)
		}
		_ = c.Close()
	}
	return errors.Join(errs...)
}

func (s *Server) listen(at inet.Addr) error {
	switch at.Proto {
	case inet.TCP:
		l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(at.AddrPort()))
		if err != nil {
			return err
		}
		s.sockets = append(s.sockets, l)
		go s.accept(l)
	case inet.UDP:
		c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at.AddrPort()))
		if err != nil {
			return err
		}
		s.sockets = append(s.sockets, c)
		go s.answerDatagrams(c)
	case inet.SCTP:
		c, err := net.ListenIP(sctpNetwork(at.IP), &net.IPAddr{IP: at.IP.AsSlice()})
		if err != nil {
			return err
		}
		s.sockets = append(s.sockets, c)
		go s.answerInits(c, at.Port)
	default:
		return fmt.Errorf("protocol %s has no server", at.Proto)
	}
	return nil
}

func (s *Server) accept(l *net.TCPListener) {
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil && probe(c) == nil && s.track(c) {
			go s.converse(c)
		}
	}
}

// track notes an open connection, unless the server is closed.
func (s *Server) track(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done {
		_ = c.Close()
		return false
	}
	s.conns[c] = struct{}{}
	s.open.Add(1)
	s.accepted.Add(1)
	return true
}

// converse sends the reply at once and again for each line that comes in.
func (s *Server) converse(c net.Conn) {
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.conns, c)
		s.open.Add(-1)
		_ = c.Close()
	}()
	source := c.RemoteAddr().(*net.TCPAddr).AddrPort()
	reply := Reply{Server: s.name, Source: unmap(source)}.encode()
	for in := bufio.NewReader(c); ; {
		if _, err := io.WriteString(c, reply); err != nil {
			return
		}
		if _, err := in.ReadString('\n'); err != nil {
			return
		}
	}
}

func (s *Server) answerDatagrams(c *net.UDPConn) {
	buf := make([]byte, 512)
	for {
		_, source, err := c.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // an ICMP error for an earlier answer
		}
		s.accepted.Add(1)
		_, _ = c.WriteToUDPAddrPort([]byte(Reply{Server: s.name, Source: unmap(source)}.encode()), source)
	}
}

func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }
