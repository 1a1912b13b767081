// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const manifest = `apiVersion: v1
kind: Service
metadata: {name: %[1]s, namespace: default}
spec: {clusterIP: 10.96.0.1}
---
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Node, metadata: {name: %[1]s}}
`

// start returns a server that answers, and its URL.
func start(t *testing.T) (*Server, string) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	s := New(func() (net.Listener, error) { return new(net.ListenConfig).Listen(t.Context(), "tcp", addr) })
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s, "http://" + addr
}

func request(t *testing.T, method, url string) (*http.Response, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return http.DefaultClient.Do(r)
}

// get returns the status and the body of an answer.
func get(t *testing.T, method, url string) string {
	t.Helper()
	resp, err := request(t, method, url)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(resp.StatusCode, " ", strings.TrimSpace(string(body)))
}

// follow starts a watch and returns what reads its next events, as verb and name.
func follow(t *testing.T, url string) func(n int) []string {
	t.Helper()
	resp, err := request(t, http.MethodGet, url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	lines := bufio.NewScanner(resp.Body)
	return func(n int) (out []string) {
		for range n {
			if !lines.Scan() {
				return append(out, "end")
			}
			var e struct {
				Type   string
				Object struct {
					Metadata struct{ Name string }
					Code     int
				}
			}
			if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
				t.Fatal(err)
			}
			out = append(out, fmt.Sprintf("%s %s%d", e.Type, e.Object.Metadata.Name, e.Object.Code))
		}
		return out
	}
}

func apply(t *testing.T, s *Server, name string) {
	t.Helper()
	if err := s.Apply(fmt.Sprintf(manifest, name)); err != nil {
		t.Fatal(err)
	}
}

// TestWatch follows Services from nothing, over an absence of the server, to a version
// that the server has forgotten, and from one of its future, which is silent until then.
func TestWatch(t *testing.T) {
	s, url := start(t)
	apply(t, s, "a")
	services := url + "/api/v1/services"
	next := follow(t, services+"?watch=true&sendInitialEvents=true")
	apply(t, s, "b")
	apply(t, s, "a")
	s.Remove("services", "default", "b")
	s.Remove("services", "default", "never")
	want := []string{"ADDED a0", "BOOKMARK 0", "ADDED b0", "MODIFIED a0", "DELETED b0"}
	if diff := cmp.Diff(want, next(len(want))); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	_, version := s.objects.list("services")
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	if got := next(1); got[0] != "end" {
		t.Errorf("a server that is away sends %s", got)
	}
	if got := get(t, http.MethodGet, services); !strings.Contains(got, "connection refused") {
		t.Errorf("a server that is away answers %s", got)
	}
	apply(t, s, "c")
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	next = follow(t, fmt.Sprintf("%s?watch=true&resourceVersion=%d", services, version))
	if got := next(1); got[0] != "ADDED c0" {
		t.Errorf("after the server returned: %s", got)
	}
	for range 2 * keptChanges {
		apply(t, s, "d")
	}
	if got := follow(t, services+"?watch=true&resourceVersion=1")(1); got[0] != "ERROR 410" {
		t.Errorf("a watch from a version that is forgotten gets %s", got)
	}
	_, version = s.objects.list("services")
	next = follow(t, fmt.Sprintf("%s?watch=true&resourceVersion=%d", services, version+1))
	apply(t, s, "e") // is the version to watch from
	apply(t, s, "f")
	if got := next(1); got[0] != "ADDED f0" {
		t.Errorf("a watch from a version of the future gets %s", got)
	}
}

// TestRequests asks for what agents ask for, and for what is not there.
func TestRequests(t *testing.T) {
	s, url := start(t)
	apply(t, s, "a")
	for _, tt := range []struct{ method, path, want string }{
		{"GET", "/api/v1/nodes/a", `200 {"apiVersion":"v1","kind":"Node","metadata":{"creationTimestamp"`},
		{"GET", "/api/v1/namespaces/default/services/a", `200 {"apiVersion":"v1","kind":"Service"`},
		{"GET", "/api/v1/nodes", `200 {"apiVersion":"v1","items":[{`},
		{"GET", "/apis/discovery.k8s.io/v1/endpointslices", `200 {"apiVersion":"discovery.k8s.io/v1","items":[],"kind":"EndpointSliceList"`},
		{"GET", "/apis/networking.k8s.io/v1/servicecidrs", `200 {"apiVersion":"networking.k8s.io/v1","items":[]`},
		{"PATCH", "/api/v1/nodes/a/status", `200 {"apiVersion":"v1","kind":"Node"`},
		{"POST", "/apis/events.k8s.io/v1/namespaces/default/events", "201 "},
		{"GET", "/api/v1/nodes/b", "404 "},
		{"GET", "/api/v1/secrets", "404 "},
		{"GET", "/version", "404 "},
		{"DELETE", "/api/v1/nodes", "405 "},
		{"GET", "/api/v1/nodes?watch=1&resourceVersion=x", "400 "},
	} {
		if got := get(t, tt.method, url+tt.path); !strings.HasPrefix(got, tt.want) {
			t.Errorf("%s %s: %s, want %s", tt.method, tt.path, got, tt.want)
		}
	}
}

// TestApplyErrors names what is wrong.
func TestApplyErrors(t *testing.T) {
	s := New(nil)
	for text, want := range map[string]string{
		"{":                        "read manifest",
		"kind: Secret":             `kind "Secret" is unknown`,
		"kind: Service":            "has no metadata",
		"kind: List\nitems: [1]\n": `kind "" is unknown`,
	} {
		if err := s.Apply(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}
