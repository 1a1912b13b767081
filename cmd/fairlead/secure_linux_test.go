// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/tls"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	authn "k8s.io/api/authentication/v1"
	authz "k8s.io/api/authorization/v1"

	"fairlead/internal/nstest"
)

// reviewer is an API server that has no objects. The token prometheus may get /metrics,
// and the token guest nothing.
func reviewer(w http.ResponseWriter, r *http.Request) {
	var answer any
	switch {
	case strings.HasSuffix(r.URL.Path, "/tokenreviews"):
		var v authn.TokenReview
		_ = json.NewDecoder(r.Body).Decode(&v)
		v.Status.Authenticated = v.Spec.Token == "prometheus" || v.Spec.Token == "guest"
		v.Status.User.Username = v.Spec.Token
		answer = v
	case strings.HasSuffix(r.URL.Path, "/subjectaccessreviews"):
		var v authz.SubjectAccessReview
		_ = json.NewDecoder(r.Body).Decode(&v)
		n := v.Spec.NonResourceAttributes
		v.Status.Allowed = v.Spec.User == "prometheus" && n != nil && n.Path == "/metrics" && n.Verb == "get"
		answer = v
	default:
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	_ = json.NewEncoder(w).Encode(answer)
}

// TestSecureMetrics serves metrics with TLS to whom the API server permits, and not in
// the clear. The port without TLS stays on the loopback address.
func TestSecureMetrics(t *testing.T) {
	nstest.Need(t)
	api := httptest.NewServer(http.HandlerFunc(reviewer))
	t.Cleanup(api.Close)
	p := startAgent(t, nil, "--kubeconfig", kubeconfig(t, api.Listener.Addr().String()), "--kube-api-content-type", "application/json", "--healthz-bind-address", "",
		"--metrics-bind-address", "127.0.0.1:20250", "--secure-metrics-bind-address", "127.0.0.1:20251", "--socket-dir", "")
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	ask := func(url, token string) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		resp, err := client.Do(req)
		if err != nil {
			return 0, err.Error()
		}
		defer func() { _ = resp.Body.Close() }()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			return 0, err.Error()
		}
		if resp.TLS != nil && resp.ProtoMajor != 1 {
			t.Errorf("the answer comes by %s", resp.Proto)
		}
		return resp.StatusCode, string(body)
	}
	eventually(t, "the port answers", func() error {
		conn, err := tls.Dial("tcp", "127.0.0.1:20251", &tls.Config{InsecureSkipVerify: true})
		if err == nil {
			cert := conn.ConnectionState().PeerCertificates[0]
			_ = conn.Close()
			err = cert.VerifyHostname("127.0.0.1")
		}
		return err
	})
	for _, tt := range []struct {
		url, token string
		code       int
		text       string
	}{
		{"https://127.0.0.1:20251/metrics", "prometheus", 200, "fairlead_frontends"},
		{"https://127.0.0.1:20251/metrics", "", 401, "send a bearer token"},
		{"https://127.0.0.1:20251/metrics", "wrong", 401, "does not know this token"},
		{"https://127.0.0.1:20251/metrics", "guest", 403, "guest may not get the URL /metrics"},
		{"https://127.0.0.1:20251/configz", "prometheus", 403, "may not get the URL /configz"},
		{"https://127.0.0.1:20251/", "prometheus", 403, "may not get the URL /"},
		{"https://127.0.0.1:20251/healthz", "", 401, ""},
		{"http://127.0.0.1:20251/metrics", "prometheus", 0, ""},
		{"http://127.0.0.1:20250/metrics", "", 200, "fairlead_frontends"},
	} {
		if code, body := ask(tt.url, tt.token); code != tt.code || !strings.Contains(body, tt.text) {
			t.Errorf("%s as %q: %d %.200s, want %d", tt.url, tt.token, code, body, tt.code)
		}
	}
	api.Close()
	if code, body := ask("https://127.0.0.1:20251/metrics", "prometheus"); code != 200 {
		t.Errorf("an answer that is kept, without an API server: %d %.200s", code, body)
	}
	if code, body := ask("https://127.0.0.1:20251/metrics", "new"); code != 503 {
		t.Errorf("a new token without an API server: %d %.200s", code, body)
	}
	if log := p.text(); strings.Contains(log, "TLS handshake") || strings.Contains(log, "without TLS") {
		t.Errorf("the log is %s", log)
	}
}

// TestSecureFlags: mistakes name the flag.
func TestSecureFlags(t *testing.T) {
	for args, want := range map[string]string{
		"--manifests /tmp --secure-metrics-bind-address :1":                                           "--secure-metrics-bind-address: needs an API server",
		"--manifests /tmp --secure-metrics-cert-file /etc/passwd":                                     "--secure-metrics-cert-file: has no effect without",
		"--secure-metrics-bind-address :1 --secure-metrics-cert-file /etc/passwd":                     "set both or none",
		"--secure-metrics-bind-address x":                                                             "is not an address and port",
		"--secure-metrics-bind-address :1 --secure-metrics-cert-file /1 --secure-metrics-key-file /2": "--secure-metrics-key-file: ",
	} {
		out, code := command(t, append([]string{"run", "--node-name", "a"}, strings.Fields(args)...)...)
		if code != 1 || !strings.Contains(out, want) {
			t.Errorf("%s: code %d, %s", args, code, out)
		}
	}
}
