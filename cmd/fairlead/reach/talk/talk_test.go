// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package talk

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"fairlead/cmd/fairlead/reach/plan"
)

// serve starts a server on a free port of the loopback device.
func serve(t *testing.T, name string) (target string) {
	t.Helper()
	var s *Server
	var err error
	for range 20 { // until a port is free in both protocols
		if s, err = Listen(name, 0); err != nil {
			t.Fatal(err)
		}
		port := s.tcp.Addr().(*net.TCPAddr).Port
		_ = s.udp.Close()
		if s.udp, err = net.ListenUDP("udp", &net.UDPAddr{Port: port}); err == nil {
			break
		}
		_ = s.tcp.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return fmt.Sprintf("127.0.0.1:%d", s.tcp.Addr().(*net.TCPAddr).Port)
}

func run(t *testing.T, settle time.Duration, check plan.Check) plan.Result {
	t.Helper()
	var out []plan.Result
	c := &Client{Dial: Direct, Settle: settle}
	c.Run(t.Context(), []plan.Check{check}, func(r plan.Result) { out = append(out, r) })
	if len(out) != 1 {
		t.Fatalf("%d results", len(out))
	}
	return out[0]
}

// TestTalk: both protocols carry the server's name and the client's address, and a client
// tells one server from another, and from none.
func TestTalk(t *testing.T) {
	a := serve(t, "a")
	for _, proto := range []plan.Proto{plan.TCP, plan.UDP} {
		check := plan.Check{Proto: proto, Target: a, Want: plan.Want{Servers: []string{"a"}, Source: true, Count: 3}}
		if r := run(t, 0, check); !r.Passed || r.Attempts != 1 || r.Millis <= 0 {
			t.Errorf("%s: %+v", proto, r)
		}
		check.Want = plan.Want{Servers: []string{"b"}}
		if r := run(t, 0, check); r.Passed || r.Problem != "a answered" {
			t.Errorf("%s, another server: %+v", proto, r)
		}
		check.Want = plan.Want{}
		if r := run(t, 0, check); r.Passed || r.Problem != "a answered" {
			t.Errorf("%s, nobody: %+v", proto, r)
		}
		check.Want, check.Target = plan.Want{Servers: []string{"a"}}, "127.0.0.1:1"
		if r := run(t, 0, check); r.Passed || r.Problem != "connection refused" {
			t.Errorf("%s, no server: %+v", proto, r)
		}
		check.Want = plan.Want{}
		if r := run(t, 0, check); !r.Passed {
			t.Errorf("%s, silence: %+v", proto, r)
		}
	}
}

// TestSettle: a check that fails is tried again while the world settles.
func TestSettle(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		_ = c.Close() // the first attempt
		_ = http.Serve(l, http.HandlerFunc((&Server{name: "late"}).identify))
	}()
	r := run(t, time.Minute, plan.Check{Proto: plan.TCP, Target: l.Addr().String(), Want: plan.Want{Servers: []string{"late"}}})
	if !r.Passed || r.Attempts != 2 {
		t.Errorf("%+v", r)
	}
}

// TestStrangers: other programs that answer are named as such, and cannot keep a client
// or fill its memory.
func TestStrangers(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"another program answers: HTTP status 404": http.NotFound,
		"another program answers: invalid":         func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") },
		"another program answers: unexpected":      func(w http.ResponseWriter, _ *http.Request) { _, _ = io.CopyN(w, spaces{}, 1<<20) },
		"another program answers: HTTP status 302": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
		},
	} {
		srv := httptest.NewServer(h)
		r := run(t, 0, plan.Check{Proto: plan.TCP, Target: strings.TrimPrefix(srv.URL, "http://"), Want: plan.Want{Servers: []string{"a"}}})
		if r.Passed || !strings.HasPrefix(r.Problem, name) {
			t.Errorf("%s: %+v", name, r)
		}
		srv.Close()
	}
}

type spaces struct{}

func (spaces) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = ' '
	}
	return len(b), nil
}

// TestServer: a server sends no datagram that is larger than what it got, and no more
// bytes than its limit.
func TestServer(t *testing.T) {
	target := serve(t, strings.Repeat("n", 400))
	c, err := net.Dial("udp", target)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	for _, size := range []int{0, 1, 100, askSize - 1, askSize} {
		if _, err := c.Write(make([]byte, size)); err != nil {
			t.Fatal(err)
		}
	}
	_ = c.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
	if n, err := c.Read(make([]byte, 4096)); err == nil {
		t.Errorf("a datagram of %d bytes comes back", n)
	}
	for query, want := range map[string]int{"n=5": 200, "n=-1": 400, "n=99999999999": 400, "": 400} {
		resp, err := http.Get("http://" + target + "/bytes?" + query)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(io.LimitReader(resp.Body, 100))
		if resp.StatusCode != want || want == 200 && len(b) != 5 {
			t.Errorf("%q: %s, %q", query, resp.Status, b)
		}
		_ = resp.Body.Close()
	}
}

// TestEnd: the end of the context ends checks that wait, and those that follow.
func TestEnd(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // accepts and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	u, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = u.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	var checks []plan.Check
	for range 50 {
		checks = append(checks,
			plan.Check{Proto: plan.TCP, Target: l.Addr().String(), Want: plan.Want{Servers: []string{"a"}}},
			plan.Check{Proto: plan.UDP, Target: u.LocalAddr().String(), Want: plan.Want{Servers: []string{"a"}}})
	}
	start := time.Now()
	c := &Client{Dial: Direct, Settle: time.Hour}
	c.Run(ctx, checks, func(r plan.Result) { t.Errorf("%+v", r) })
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("it ends after %s", took)
	}
	if got := addrOf(&net.UDPAddr{IP: net.ParseIP("::ffff:10.0.0.1"), Port: 1}); got != netip.MustParseAddr("10.0.0.1") {
		t.Errorf("%s", got)
	}
}

// TestMeasure: paths take turns, each has figures, and one that does not answer is an
// error that names it.
func TestMeasure(t *testing.T) {
	a, b := serve(t, "a"), serve(t, "b")
	paths := []plan.Path{{Server: "same node", Via: "pod address", Target: a}, {Server: "same node", Via: "ClusterIP", Target: b}}
	var got []plan.Figures
	last, total := 0, 0
	err := Dialer(Direct).Measure(t.Context(), paths, time.Second, func(n, of int) { last, total = n, of }, func(f plan.Figures) { got = append(got, f) })
	if err != nil || len(got) != 2 || last != total || total != 2*rounds {
		t.Fatalf("%v, %d figures, %d of %d steps", err, len(got), last, total)
	}
	for i, f := range got {
		if f.Path != paths[i] || f.Connections <= 0 || f.P50 <= 0 || f.P99 < f.P50 || f.Bytes <= 0 || f.Failed != 0 {
			t.Errorf("%+v", f)
		}
	}
	paths[1].Target = "127.0.0.1:1"
	err = Dialer(Direct).Measure(t.Context(), paths, time.Nanosecond, func(int, int) {}, func(plan.Figures) {})
	if err == nil || err.Error() != "ClusterIP of same node, 127.0.0.1:1: no connection succeeds" {
		t.Errorf("a server that does not answer: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Dialer(Direct).Measure(ctx, paths, time.Hour, func(int, int) {}, func(plan.Figures) {}); err == nil {
		t.Error("a measurement that was ended succeeds")
	}
}
