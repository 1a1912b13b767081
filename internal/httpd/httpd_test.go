// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package httpd

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// serve starts a Server with a pool of n connections and returns its address.
func serve(t *testing.T, n int, h http.HandlerFunc) string {
	t.Helper()
	pool := NewPool()
	pool.max = n
	return serveIn(t, pool, h)
}

// serveIn is serve with a pool.
func serveIn(t *testing.T, pool *Pool, h http.HandlerFunc) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(pool, h, 0)
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		_ = s.Close()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
		pool.mu.Lock()
		defer pool.mu.Unlock()
		if pool.conns.Len() > 0 {
			t.Errorf("%d connections count after Close", pool.conns.Len())
		}
	})
	return l.Addr().String()
}

func ok(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := connect(t, addr)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// refuses reports whether the server resets a new connection, which a client can learn while it
// still connects.
func refuses(t *testing.T, addr string) bool {
	t.Helper()
	c, err := connect(t, addr)
	if err == nil {
		err = readByte(t, c)
	}
	return errors.Is(err, syscall.ECONNRESET)
}

func connect(t *testing.T, addr string) (net.Conn, error) {
	t.Helper()
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c, nil
}

// get returns the status line of an answer on a connection that is open.
func get(t *testing.T, c net.Conn) string {
	t.Helper()
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		return err.Error()
	}
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return err.Error()
	}
	_, _ = io.Copy(io.Discard, r.Body)
	_ = r.Body.Close()
	return r.Status
}

// ended reports whether the server has closed a connection.
func ended(t *testing.T, c net.Conn) bool {
	t.Helper()
	err := readByte(t, c)
	return err != nil && !errors.Is(err, os.ErrDeadlineExceeded)
}

func readByte(t *testing.T, c net.Conn) error {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(headerTime + 10*time.Second)); err != nil {
		t.Fatal(err)
	}
	_, err := c.Read(make([]byte, 1))
	return err
}

// TestIdleConnectionsMakeRoom answers a prober while 50 clients hold connections. Those that
// make room are reset: the kernel keeps nothing of them, such as TIME_WAIT.
func TestIdleConnectionsMakeRoom(t *testing.T) {
	addr := serve(t, 4, ok)
	var idle []net.Conn
	for range 50 {
		idle = append(idle, dial(t, addr))
	}
	if got := get(t, dial(t, addr)); got != "200 OK" {
		t.Errorf("the prober gets %q", got)
	}
	for i, c := range idle[:40] {
		if err := readByte(t, c); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("connection %d of 50 ends with %v, although 4 are allowed, want a reset", i, err)
		}
	}
}

// TestAskingConnectionsStay replaces the idle connection before the one that asks.
func TestAskingConnectionsStay(t *testing.T) {
	pool := NewPool()
	pool.max = 2
	addr := serveIn(t, pool, ok)
	asking, idle := dial(t, addr), dial(t, addr)
	admitted := func() int {
		pool.mu.Lock()
		defer pool.mu.Unlock()
		return pool.conns.Len()
	}
	// The server accepts when it comes to it. A connection that it accepts after the questions of
	// the other is the younger one.
	for end := time.Now().Add(20 * time.Second); admitted() < 2; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the server does not accept two connections")
		}
	}
	for range 3 {
		if got := get(t, asking); got != "200 OK" {
			t.Fatalf("the client that asks gets %q", got)
		}
	}
	third := dial(t, addr)
	if got := get(t, third); got != "200 OK" {
		t.Errorf("a third client gets %q", got)
	}
	if !ended(t, idle) {
		t.Error("the idle connection is still open")
	}
	if got := get(t, asking); got != "200 OK" {
		t.Errorf("the client that asks gets %q after another came", got)
	}
}

// TestFloodReplacesItself keeps the only connection of another client.
func TestFloodReplacesItself(t *testing.T) {
	addr := serve(t, 4, ok)
	from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	quiet, err := from.DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = quiet.Close() }()
	for range 100 {
		dial(t, addr)
	}
	if got := get(t, quiet); got != "200 OK" {
		t.Errorf("the other client gets %q after 100 connections", got)
	}
}

// TestAnswersAreNotCut refuses a new connection while all others are answered.
func TestAnswersAreNotCut(t *testing.T) {
	ctx, release := context.WithCancel(t.Context())
	defer release()
	asked := make(chan struct{}, 2)
	addr := serve(t, 2, func(w http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		<-ctx.Done()
		ok(w, r)
	})
	answers := make(chan string, 2)
	for range 2 {
		c := dial(t, addr)
		go func() { answers <- get(t, c) }()
		<-asked
	}
	if !refuses(t, addr) {
		t.Error("a third connection is accepted")
	}
	release()
	for range 2 {
		if got := <-answers; got != "200 OK" {
			t.Errorf("an answer under way becomes %q", got)
		}
	}
}

// TestLimits refuses large headers and bodies.
func TestLimits(t *testing.T) {
	addr := serve(t, 4, func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
			return
		}
		ok(w, r)
	})
	for _, tt := range []struct{ name, request, want string }{
		{"small", "GET / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("a", 1000) + "\r\n\r\n", "200"},
		{"header", "GET / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("a", 9000) + "\r\n\r\n", "431"},
		{"endless header", "GET / HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("X: a\r\n", 2000), "431"},
		{"body", fmt.Sprintf("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n%s", strings.Repeat("a", 5000)), "413"},
	} {
		c := dial(t, addr)
		go func() { _, _ = io.WriteString(c, tt.request) }()
		line, err := bufio.NewReader(c).ReadString('\n')
		if err != nil || !strings.Contains(line, " "+tt.want+" ") {
			t.Errorf("%s: %q, %v, want status %s", tt.name, line, err, tt.want)
		}
	}
}

// TestUnfinishedHeader closes a connection whose header does not end in time.
func TestUnfinishedHeader(t *testing.T) {
	addr := serve(t, 4, ok)
	c := dial(t, addr)
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost:"); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if !ended(t, c) {
		t.Errorf("still open after %s", time.Since(start))
	}
}

// TestSecureUnfinished: clients that begin a handshake and go on no further make room for
// one that asks.
func TestSecureUnfinished(t *testing.T) {
	pool := NewPool()
	pool.max = 4
	srv := httptest.NewUnstartedServer(nil)
	srv.StartTLS() // for its certificate
	cert := srv.TLS.Certificates
	client := srv.Client()
	srv.Close()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(pool, http.HandlerFunc(ok), 0)
	s.Secure(&tls.Config{Certificates: cert, MinVersion: tls.VersionTLS12})
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		_ = s.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	addr := l.Addr().String()
	var first net.Conn
	for range 50 {
		c := dial(t, addr)
		_, _ = c.Write([]byte{22, 3, 1, 2, 0, 1, 0})
		if first == nil {
			first = c
		}
	}
	for range 3 {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+addr+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "ok" || resp.ProtoMajor != 1 {
			t.Errorf("%q, %v, %s", body, err, resp.Proto)
		}
		_ = resp.Body.Close()
	}
	if !ended(t, first) {
		t.Error("a handshake that does not end keeps its connection")
	}
}
