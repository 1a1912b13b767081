// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package httpd

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a listener of connections in memory, for which the clock of a test counts.
type pipes struct {
	conns chan net.Conn
	once  sync.Once
}

// Accept returns the next connection.
func (p *pipes) Accept() (net.Conn, error) {
	if c, ok := <-p.conns; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}

// Close ends Accept.
func (p *pipes) Close() error {
	p.once.Do(func() { close(p.conns) })
	return nil
}

// Addr returns no address.
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// TestTimes closes connections whose clients are slow, after the time for each part.
func TestTimes(t *testing.T) {
	const request = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
	const write = 20 * time.Second
	for _, tt := range []struct {
		name, sends string
		reads       bool
		want        time.Duration
	}{
		{"nothing", "", true, headerTime},
		{"an unfinished header", "GET / HTTP/1.1\r\nHost:", true, headerTime},
		{"an unfinished body", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc", true, requestTime},
		{"one request", request, true, idleTime},
		{"a request whose answer is not read", request, false, write},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				listener := &pipes{conns: make(chan net.Conn, 1)}
				s := NewServer(NewPool(), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if _, err := io.Copy(io.Discard, r.Body); err == nil {
						_, _ = w.Write(bytes.Repeat([]byte("x"), 1<<20))
					}
				}), write)
				done := make(chan error)
				go func() { done <- s.Serve(listener) }()
				server, client := net.Pipe()
				noted := &noted{Conn: server, closed: make(chan struct{})}
				listener.conns <- noted
				began := time.Now()
				go func() { _, _ = io.WriteString(client, tt.sends) }()
				if tt.reads {
					go func() { _, _ = io.Copy(io.Discard, client) }()
				}
				<-noted.closed
				if took := time.Since(began); took != tt.want {
					t.Errorf("closed after %v, want %v", took, tt.want)
				}
				_ = client.Close()
				if err := s.Close(); err != nil {
					t.Error(err)
				}
				if err := <-done; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// noted says when the server closes a connection.
type noted struct {
	net.Conn
	closed chan struct{}
	done   bool // Close runs in one goroutine
}

// Close closes the connection.
func (c *noted) Close() error {
	if !c.done {
		c.done = true
		close(c.closed)
	}
	return c.Conn.Close()
}

// TestPoolSize leaves most of few descriptors to other work.
func TestPoolSize(t *testing.T) {
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &was) }()
	for files, want := range map[uint64]int{320: 20, 128: 8, 70: leastConns, was.Max: mostConns} {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: files, Max: was.Max}); err != nil {
			t.Fatal(err)
		}
		if got := NewPool().max; got != want {
			t.Errorf("%d connections with %d files, want %d", got, files, want)
		}
	}
}

// TestSource counts all addresses of an IPv6 subnet as one source, because a host can have any
// of them, and each IPv4 address by itself.
func TestSource(t *testing.T) {
	for addr, want := range map[string]string{
		"192.0.2.1:5": "192.0.2.1/32", "192.0.2.2:5": "192.0.2.2/32", "[::ffff:192.0.2.1]:5": "192.0.2.1/32",
		"[2001:db8::1]:5": "2001:db8::/64", "[2001:db8:0:0:1:2:3:4]:6": "2001:db8::/64", "[2001:db8:0:1::1]:5": "2001:db8:0:1::/64",
		"[fe80::1%7]:5": "fe80::/64",
	} {
		if got := source(net.TCPAddrFromAddrPort(netip.MustParseAddrPort(addr))); got.String() != want {
			t.Errorf("%s counts for %s, want %s", addr, got, want)
		}
	}
}
