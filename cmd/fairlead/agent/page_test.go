// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"fairlead/cmd/fairlead/page"
	"fairlead/cmd/fairlead/state"
	"fairlead/internal/inet"
	"fairlead/nat"
	"fairlead/proxier/objects"
	"fairlead/proxier/store"
)

// testPages returns pages of an agent without Services.
func testPages(t *testing.T) *pages {
	t.Helper()
	l := lister{store: store.New()}
	p, err := newPages("Node-A", func() *state.State { return &state.State{Node: "node-a"} }, l.list)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestPageHost answers those who name the agent as its own host, and no browser that was
// sent here under the name of another site.
func TestPageHost(t *testing.T) {
	mux := http.NewServeMux()
	testPages(t).register(mux)
	for host, want := range map[string]int{
		"127.0.0.1:10249": 200, "192.0.2.1": 200, "[::1]:10249": 200, "localhost:10249": 200, "LOCALHOST": 200, "node-a:10249": 200, "agent": 200,
		"evil.example": 421, "127.0.0.1.evil.example:10249": 421, "localhost.evil.example": 421, "": 421,
	} {
		for _, path := range []string{"/", "/state"} {
			r := httptest.NewRequest(http.MethodGet, path, nil)
			r.Host = host
			w := httptest.NewRecorder()
			mux.ServeHTTP(w, r)
			if w.Code != want {
				t.Errorf("%s as %q: %d, want %d", path, host, w.Code, want)
			}
		}
	}
}

// TestPageHeaders: the page comes with its policy, and nothing but GET of known paths is
// answered.
func TestPageHeaders(t *testing.T) {
	mux := http.NewServeMux()
	testPages(t).register(mux)
	for request, want := range map[string]struct {
		code int
		kind string
	}{
		"GET /":              {200, "text/html; charset=utf-8"},
		"HEAD /":             {200, "text/html; charset=utf-8"},
		"GET /page.css":      {200, "text/css; charset=utf-8"},
		"GET /page.js":       {200, "text/javascript; charset=utf-8"},
		"GET /page.svg":      {200, "image/svg+xml"},
		"POST /":             {405, ""},
		"GET /x":             {404, ""},
		"GET /page.html":     {404, ""},
		"GET /assets/":       {404, ""},
		"GET /?q=%00&from=x": {200, "text/html; charset=utf-8"},
	} {
		method, path, _ := strings.Cut(request, " ")
		r := httptest.NewRequest(method, path, nil)
		r.Host = "127.0.0.1"
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		h := w.Header()
		if w.Code != want.code || want.kind != "" && (h.Get("Content-Type") != want.kind || h.Get("Content-Security-Policy") != page.Policy || h.Get("X-Content-Type-Options") != "nosniff") {
			t.Errorf("%s: %d, %v", request, w.Code, h)
		}
	}
}

// manyServices returns a store with n Services, the last of which have an endpoint that
// is ready and one that is not, in both families.
func manyServices(n int) *store.Store {
	s := store.New()
	s.Update(func(tx *store.Tx) {
		for i := range n {
			key := types.NamespacedName{Namespace: "default", Name: fmt.Sprintf("s%05d", i)}
			tx.SetService(&objects.Service{
				Key: key, ClusterIPs: []netip.Addr{netip.AddrFrom4([4]byte{10, 96, byte(i >> 8), byte(i)})},
				Ports: []objects.ServicePort{{Proto: inet.TCP, Port: 80, NodePort: 30080}, {Proto: inet.UDP, Port: 53}},
			})
			for _, ipv6 := range []bool{false, true} {
				tx.SetSlice(&objects.Slice{
					Key:     types.NamespacedName{Namespace: "default", Name: fmt.Sprint(key.Name, ipv6)},
					Service: key, IPv6: ipv6, Endpoints: []objects.Endpoint{{Ready: true}, {}},
				})
			}
		}
	})
	return s
}

// TestServices selects by name, address and rate, and never lists more than a page.
func TestServices(t *testing.T) {
	const n = 10000
	counters := &counterList{}
	l := lister{store: manyServices(n), rates: newRates(counters)}
	names := func(q state.Query) string {
		var out []string
		for _, s := range l.list(t.Context(), q).List {
			out = append(out, strings.TrimPrefix(s.Name, "default/"))
		}
		return strings.Join(out[:min(len(out), 3)], " ") + fmt.Sprint(" ", len(out))
	}
	for _, tt := range []struct {
		q    state.Query
		want string
	}{
		{state.Query{}, "s00000 s00001 s00002 50"},
		{state.Query{From: 9990}, "s09990 s09991 s09992 10"},
		{state.Query{From: 1 << 40}, " 0"},
		{state.Query{Search: "S0123"}, "s01230 s01231 s01232 10"},
		{state.Query{Search: "default/s0999", From: 8}, "s09998 s09999 2"},
		{state.Query{Search: "10.96.39.15"}, "s09999 1"},
		{state.Query{Search: "nothing"}, " 0"},
	} {
		if got := names(tt.q); got != tt.want {
			t.Errorf("%+v: %s, want %s", tt.q, got, tt.want)
		}
	}
	got := l.list(t.Context(), state.Query{Search: "s00007"})
	if want := (state.Service{Name: "default/s00007", Ready: 1, Endpoints: 2}); got.All != n || got.Found != 1 || got.List[0].Ready != want.Ready ||
		got.List[0].Endpoints != want.Endpoints || fmt.Sprint(got.List[0].Addrs, got.List[0].Ports) != "[10.96.0.7] [80:30080/tcp 53/udp]" {
		t.Errorf("the list is %+v", got)
	}
}

// counterList is the kernel's counters.
type counterList struct {
	list []nat.BackendCounter
	err  error
	read int
}

func (c *counterList) BackendCounters(context.Context) ([]nat.BackendCounter, error) {
	c.read++
	return c.list, c.err
}

func counter(owner, backend string, n uint64) nat.BackendCounter {
	return nat.BackendCounter{Owner: owner, Backend: netip.MustParseAddrPort(backend), Connections: n}
}

// TestRates: increases become rates; a new slot, a removed endpoint and an error make no
// false ones; and readings are rare, however many ask.
func TestRates(t *testing.T) {
	c := &counterList{}
	r := newRates(c)
	start := time.Now()
	step := func(after time.Duration, list ...nat.BackendCounter) rateTable {
		return r.compare(list, start.Add(after))
	}
	if got := step(0, counter("a/web:http", "10.0.0.1:80", 100), counter("a/web:http", "10.0.0.2:80", 50)); got.rated || got.of["a/web"].connections != 150 {
		t.Errorf("the first reading has %+v", got)
	}
	for _, tt := range []struct {
		name  string
		after time.Duration
		list  []nat.BackendCounter
		want  serviceRate
		rated bool
	}{
		{"both grow", 2 * time.Second, []nat.BackendCounter{counter("a/web:http", "10.0.0.1:80", 120), counter("a/web:http", "10.0.0.2:80", 60)}, serviceRate{180, 15}, true},
		{"one has gone", 4 * time.Second, []nat.BackendCounter{counter("a/web:http", "10.0.0.1:80", 124)}, serviceRate{124, 2}, true},
		{"a new slot", 6 * time.Second, []nat.BackendCounter{counter("a/web:http", "10.0.0.1:80", 10)}, serviceRate{10, 5}, true},
		{"nobody looked", 10 * time.Minute, []nat.BackendCounter{counter("a/web:http", "10.0.0.1:80", 99)}, serviceRate{99, 0}, false},
		{"two ports", 10*time.Minute + 2*time.Second, []nat.BackendCounter{counter("a/web:http", "10.0.0.1:80", 101), counter("a/web:dns", "10.0.0.1:53", 4)}, serviceRate{105, 3}, true},
	} {
		if got := step(tt.after, tt.list...); got.rated != tt.rated || got.of["a/web"] != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
	for range 100 {
		r.table(t.Context())
	}
	if c.read != 1 {
		t.Errorf("100 clients read the counters %d times", c.read)
	}
	before := r.table(t.Context())
	c.err, r.next = errors.New("no"), time.Time{}
	if got := r.table(t.Context()); c.read != 2 || len(got.of) != len(before.of) {
		t.Errorf("after an error: %+v", got)
	}
	if got := (*rates)(nil).table(t.Context()); got.rated {
		t.Error("without counters there are rates")
	}
}
