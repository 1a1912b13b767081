// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package healthcheck

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"

	"fairlead/internal/netns"
	"fairlead/internal/nstest"
)

func TestMain(m *testing.M) { nstest.Main(m) }

// world is a Server that runs in a namespace with 192.0.2.1, 192.0.2.2 and
// 2001:db8::1 on its loopback device.
type world struct {
	*Server
	ns      *netns.NS
	healthy atomic.Bool
	stop    func()

	mu     sync.Mutex
	wrong  map[Name]string
	called int
}

func start(t *testing.T) *world {
	t.Helper()
	return startWith(t, 0)
}

// startWith limits the number of sockets.
func startWith(t *testing.T, sockets int) *world {
	t.Helper()
	w := &world{ns: nstest.New(t), wrong: map[Name]string{}}
	w.healthy.Store(true)
	w.addrs(t, netlink.AddrAdd, "192.0.2.1/32", "192.0.2.2/32", "2001:db8::1/128")
	w.Server = New(Options{NS: w.ns, Sockets: sockets, Healthy: w.healthy.Load, Report: func(n Name, err error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.called++
		delete(w.wrong, n)
		if err != nil {
			w.wrong[n] = err.Error()
		}
	}})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	w.stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run() = %v, want nil", err)
			}
		case <-time.After(20 * time.Second):
			t.Error("Run does not end")
		}
	})
	t.Cleanup(w.stop)
	return w
}

// addrs adds or deletes addresses of the loopback device, which is up then.
func (w *world) addrs(t *testing.T, change func(netlink.Link, *netlink.Addr) error, list ...string) {
	t.Helper()
	err := w.ns.Do(func() error {
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		if err := netlink.LinkSetUp(lo); err != nil {
			return err
		}
		for _, s := range list {
			a, err := netlink.ParseAddr(s)
			if err != nil {
				return err
			}
			if err := change(lo, a); err != nil {
				return fmt.Errorf("change %s: %w", s, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// ask makes a request and returns the answer, or nothing where nobody listens.
func (w *world) ask(t *testing.T, method, addr, path string) (*http.Response, string) {
	t.Helper()
	dial := func(ctx context.Context, _, addr string) (net.Conn, error) {
		var conn net.Conn
		err := w.ns.Do(func() error {
			var err error
			conn, err = new(net.Dialer).DialContext(ctx, "tcp", addr)
			return err
		})
		return conn, err
	}
	client := http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}, Timeout: 20 * time.Second}
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+addr+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, ""
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(text)
}

// code is what is answered, 0 where nobody listens.
func (w *world) code(t *testing.T, addr string) int {
	t.Helper()
	if resp, _ := w.ask(t, http.MethodGet, addr, "/"); resp != nil {
		return resp.StatusCode
	}
	return 0
}

func (w *world) eventually(t *testing.T, addr string, want int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s answers %d", addr, want), func() bool { return w.code(t, addr) == want })
}

func (w *world) problem(n Name) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.wrong[n]
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("still not: %s", what)
		}
	}
}

// TestAnswer compares the answers with kube-proxy's, to the byte.
func TestAnswer(t *testing.T) {
	w := start(t)
	web := Name{"default", "web"}
	w.Set(web, 30100)
	w.eventually(t, "192.0.2.1:30100", http.StatusServiceUnavailable)
	for _, tt := range []struct {
		local   int
		healthy bool
		code    int
	}{
		{0, true, http.StatusServiceUnavailable},
		{1, true, http.StatusOK},
		{12, true, http.StatusOK},
		{12, false, http.StatusServiceUnavailable},
		{0, false, http.StatusServiceUnavailable},
	} {
		w.SetLocal(web, tt.local)
		w.healthy.Store(tt.healthy)
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			resp, got := w.ask(t, method, "[2001:db8::1]:30100", "/any/path")
			if resp == nil {
				t.Fatal("nobody listens")
			}
			want := fmt.Sprintf("{\n\t\"service\": {\n\t\t\"namespace\": \"default\",\n\t\t\"name\": \"web\"\n\t},\n"+
				"\t\"localEndpoints\": %d,\n\t\"serviceProxyHealthy\": %v\n}", tt.local, tt.healthy)
			if diff := cmp.Diff(want, got); diff != "" || resp.StatusCode != tt.code {
				t.Errorf("%s with %d endpoints, healthy %v: %d, want %d; body (-want +got):\n%s",
					method, tt.local, tt.healthy, resp.StatusCode, tt.code, diff)
			}
			for header, want := range map[string]string{
				"Content-Type": "application/json", "X-Content-Type-Options": "nosniff",
				"X-Load-Balancing-Endpoint-Weight": fmt.Sprint(tt.local),
			} {
				if got := resp.Header.Get(header); got != want {
					t.Errorf("%s: %q, want %q", header, got, want)
				}
			}
		}
	}
}

// TestChange moves ports about while the Server runs.
func TestChange(t *testing.T) {
	w := start(t)
	web, db := Name{"default", "web"}, Name{"default", "db"}
	w.SetLocal(web, 7) // has no port
	w.Set(web, 30100)
	w.Set(db, 30200)
	w.SetLocal(db, 1)
	w.eventually(t, "192.0.2.1:30100", http.StatusServiceUnavailable)
	w.eventually(t, "192.0.2.1:30200", http.StatusOK)
	w.Set(db, 30201)
	w.eventually(t, "192.0.2.1:30201", http.StatusOK)
	w.eventually(t, "192.0.2.1:30200", 0)
	w.Set(db, 30100) // takes it from web, which has none then
	w.eventually(t, "192.0.2.1:30100", http.StatusOK)
	w.Delete(web)
	w.eventually(t, "192.0.2.1:30201", 0)
	w.eventually(t, "192.0.2.1:30100", http.StatusOK)
	w.stop()
	if got := w.code(t, "192.0.2.1:30100"); got != 0 {
		t.Errorf("answers %d after Run has ended", got)
	}
}

// TestPlaces listens on the addresses of the node that lie in prefixes, and
// follows when they change.
func TestPlaces(t *testing.T) {
	w := start(t)
	w.Set(Name{"default", "web"}, 30100)
	const no, yes = 0, http.StatusServiceUnavailable
	for _, tt := range []struct {
		name string
		on   []string
		want map[string]int
	}{
		{"all", []string{"0.0.0.0/0", "::/0"}, map[string]int{"192.0.2.1": yes, "192.0.2.2": yes, "[2001:db8::1]": yes, "127.0.0.1": yes, "[::1]": yes}},
		{"one of IPv4, none of IPv6", []string{"192.0.2.1/32"}, map[string]int{"192.0.2.1": yes, "192.0.2.2": no, "[2001:db8::1]": no, "127.0.0.1": no}},
		{"one of IPv4, all of IPv6", []string{"192.0.2.2/32", "::/0"}, map[string]int{"192.0.2.1": no, "192.0.2.2": yes, "[2001:db8::1]": yes, "[::1]": yes}},
		{"all of IPv4, none of IPv6", []string{"0.0.0.0/0"}, map[string]int{"192.0.2.1": yes, "127.0.0.1": yes, "[2001:db8::1]": no}},
		{"a range and the loopback", []string{"192.0.2.0/24", "127.0.0.1/32"}, map[string]int{"192.0.2.1": yes, "192.0.2.2": yes, "127.0.0.1": yes, "[::1]": no}},
		{"nothing here", []string{"198.51.100.0/24"}, map[string]int{"192.0.2.1": yes, "[2001:db8::1]": yes}},
	} {
		var on []netip.Prefix
		for _, s := range tt.on {
			on = append(on, netip.MustParsePrefix(s))
		}
		w.Serve(on)
		for ip, want := range tt.want {
			eventually(t, fmt.Sprintf("%s: %s answers %d", tt.name, ip, want), func() bool { return w.code(t, ip+":30100") == want })
		}
	}
	// The last one again, once there is such an address, and once it is gone.
	w.addrs(t, netlink.AddrAdd, "198.51.100.1/32")
	w.eventually(t, "198.51.100.1:30100", yes)
	w.eventually(t, "192.0.2.1:30100", no)
	w.addrs(t, netlink.AddrDel, "198.51.100.1/32")
	w.eventually(t, "192.0.2.1:30100", yes)
}

// TestPortInUse: somebody else has the port, and lets it go later.
func TestPortInUse(t *testing.T) {
	w := start(t)
	var other net.Listener
	err := w.ns.Do(func() error {
		var err error
		other, err = new(net.ListenConfig).Listen(t.Context(), "tcp4", "192.0.2.1:30100")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	web, db := Name{"default", "web"}, Name{"default", "db"}
	w.Serve([]netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")})
	w.Set(web, 30100)
	w.Set(db, 30200)
	eventually(t, "the port is reported", func() bool { return w.problem(web) != "" })
	if got, want := w.problem(web), "listen on 192.0.2.1:30100: address already in use"; got != want {
		t.Errorf("reported %q, want %q", got, want)
	}
	w.eventually(t, "192.0.2.2:30100", http.StatusServiceUnavailable) // all others are served
	w.eventually(t, "192.0.2.1:30200", http.StatusServiceUnavailable)
	if w.problem(db) != "" {
		t.Errorf("%s is blamed: %s", db, w.problem(db))
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	w.eventually(t, "192.0.2.1:30100", http.StatusServiceUnavailable)
	eventually(t, "the problem is gone", func() bool { return w.problem(web) == "" })
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.called != 2 {
		t.Errorf("reported %d times, want once each way", w.called)
	}
}

// TestSocketLimit keeps the first ports in order, reports the others, and opens one of
// them when another is closed.
func TestSocketLimit(t *testing.T) {
	w := startWith(t, 2)
	a, b, c := Name{"default", "a"}, Name{"default", "b"}, Name{"default", "c"}
	for i, name := range []Name{a, b, c} {
		w.Set(name, uint16(30100+i))
		w.SetLocal(name, 1)
	}
	w.eventually(t, "192.0.2.1:30100", http.StatusOK)
	w.eventually(t, "192.0.2.1:30101", http.StatusOK)
	eventually(t, "the third port is reported", func() bool { return w.problem(c) != "" })
	if got, want := w.problem(c), "listen on :30102: "+errSockets.Error(); got != want || w.problem(a)+w.problem(b) != "" {
		t.Errorf("reported %q, want %q of c alone", got, want)
	}
	w.Delete(a)
	w.eventually(t, "192.0.2.1:30102", http.StatusOK)
	eventually(t, "the problem is gone", func() bool { return w.problem(c) == "" })
}
