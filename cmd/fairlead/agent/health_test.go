// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"fairlead/internal/httpd"
	"fairlead/proxier"
	"fairlead/proxier/objects"
	"fairlead/proxier/resolve"
	"fairlead/proxier/store"
)

// progress is a proxier that is so far behind.
type progress time.Duration

func (p progress) Behind() time.Duration { return time.Duration(p) }
func (p progress) LastSync() time.Time   { return time.Unix(100, 0) }
func (p progress) Outage() time.Duration { return 0 }

// outages is progress with parts of the table missing.
type outages struct {
	progress
	out time.Duration
}

func (o outages) Outage() time.Duration { return o.out }

// counted counts answers.
type counted map[string]int

func (c counted) Healthz(code int) { c[fmt.Sprint("/healthz ", code)]++ }
func (c counted) Livez(code int)   { c[fmt.Sprint("/livez ", code)]++ }

func TestHealth(t *testing.T) {
	const ok, unavailable = http.StatusOK, http.StatusServiceUnavailable
	for _, tc := range []struct {
		name           string
		behind         time.Duration
		node           *objects.Node
		api, starting  bool
		healthz, livez int
	}{
		{"all is well", 0, &objects.Node{Name: "node-a"}, true, false, ok, ok},
		{"a little behind", 59 * time.Second, &objects.Node{Name: "node-a"}, true, false, ok, ok},
		{"stuck", time.Minute, &objects.Node{Name: "node-a"}, true, false, unavailable, unavailable},
		{"node leaves", 0, &objects.Node{Name: "node-a", Leaving: true}, true, false, unavailable, ok},
		{"node is gone", 0, nil, true, false, unavailable, ok},
		{"starting", 0, nil, true, true, ok, ok},
		{"files without a Node", 0, nil, false, false, ok, ok},
	} {
		st := store.New()
		if tc.starting {
			st.Expect("api")
		}
		if tc.node != nil {
			st.Update(func(tx *store.Tx) { tx.SetNode(tc.node) })
		}
		answers := map[string]int{}
		handler := (&health{node: "node-a", answers: counted(answers), needsNode: tc.api, store: st, proxier: progress(tc.behind), timeout: time.Minute}).handler()
		for path, want := range map[string]int{"/healthz": tc.healthz, "/livez": tc.livez, "/": http.StatusNotFound} {
			r := httptest.NewRecorder()
			handler.ServeHTTP(r, httptest.NewRequest(http.MethodGet, path, nil))
			if r.Code != want {
				t.Errorf("%s: %s answers %d, want %d", tc.name, path, r.Code, want)
			}
			if path == "/" {
				continue
			}
			if answers[fmt.Sprint(path, " ", want)] != 1 {
				t.Errorf("%s: %s was not counted: %v", tc.name, path, answers)
			}
			var a struct {
				LastUpdated, CurrentTime time.Time
				NodeEligible             *bool
				Healthy                  bool
			}
			if err := json.Unmarshal(r.Body.Bytes(), &a); err != nil {
				t.Fatalf("%s: %s: %v", tc.name, path, err)
			}
			stuck := tc.behind >= time.Minute
			if a.Healthy == stuck || a.LastUpdated.Equal(time.Unix(100, 0)) != stuck || (a.NodeEligible != nil) != (path == "/healthz") {
				t.Errorf("%s: %s says %s", tc.name, path, r.Body)
			}
		}
	}
}

func TestMetricsHandler(t *testing.T) {
	handler := metricsHandler(map[string]any{"fairlead": resolve.Config{NodeName: "node-a"}}, false, testPages(t))
	for path, want := range map[string]string{"/proxyMode": "nftables", "/healthz": "ok", "/metrics": "", "/configz": "", "/state": "", "/": ""} {
		r := httptest.NewRecorder()
		handler.ServeHTTP(r, httptest.NewRequest(http.MethodGet, "http://127.0.0.1"+path, nil))
		if r.Code != http.StatusOK || want != "" && r.Body.String() != want {
			t.Errorf("%s answers %d %q, want %q", path, r.Code, r.Body, want)
		}
		if path == "/configz" {
			var a struct{ Fairlead resolve.Config }
			if err := json.Unmarshal(r.Body.Bytes(), &a); err != nil || a.Fairlead.NodeName != "node-a" {
				t.Errorf("/configz answers %q, %v", r.Body, err)
			}
		}
	}
}

// TestServe: an address that cannot be had, now, does not end the agent.
func TestServe(t *testing.T) {
	if err := serve(t.Context(), nil, "", false, nil); err != nil {
		t.Errorf("serve nothing: %v", err)
	}
	const foreign = "192.0.2.1:0"
	owned := make(chan struct{})
	close(owned)
	if err := serve(t.Context(), owned, foreign, true, httpd.NewServer(httpd.NewPool(), nil, 0)); err == nil {
		t.Error("an address of somebody else is served")
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- serve(ctx, owned, foreign, false, httpd.NewServer(httpd.NewPool(), nil, 0)) }()
	select {
	case err := <-done:
		t.Errorf("serve ends: %v", err)
	case <-time.After(20 * time.Millisecond):
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	}
	cancel()
}

// TestReadyz: the first sync makes a node ready, and a kernel that takes no change for
// long makes it unready again, with a reason.
func TestReadyz(t *testing.T) {
	for _, tt := range []struct {
		ready  bool
		behind time.Duration
		broken time.Duration
		out    time.Duration
		code   int
		reason string
	}{
		{false, 0, 0, 0, http.StatusServiceUnavailable, "not in place yet"},
		{true, 0, 0, 0, http.StatusOK, ""},
		{true, readyLag - time.Second, 0, 0, http.StatusOK, ""},
		{true, readyLag + time.Second, 0, 0, http.StatusServiceUnavailable, "have failed for 11s"},
		{true, 0, readyLag - time.Second, 0, http.StatusOK, ""},
		{true, 0, readyLag + time.Second, 0, http.StatusServiceUnavailable, "lacked a device for 11s"},
		{true, 0, 0, proxier.OutageWindow/2 - 1, http.StatusOK, ""},
		{true, 0, 0, proxier.OutageWindow / 2, http.StatusServiceUnavailable, "were missing for 5s of the last 10s"},
		{true, 0, 0, 0, http.StatusOK, ""},
	} {
		handler := (&health{store: store.New(), answers: counted{}, proxier: outages{progress(tt.behind), tt.out}, ready: func() bool { return tt.ready }, broken: func() time.Duration { return tt.broken }}).handler()
		r := httptest.NewRecorder()
		handler.ServeHTTP(r, httptest.NewRequest(http.MethodGet, "/readyz", nil))
		if body := r.Body.String(); r.Code != tt.code || !strings.Contains(body, tt.reason) || tt.reason == "" && strings.Contains(body, "reason") {
			t.Errorf("ready %v, behind %v: /readyz answers %d %s, want %d and %q", tt.ready, tt.behind, r.Code, body, tt.code, tt.reason)
		}
	}
}
