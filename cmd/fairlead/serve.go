// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"k8s.io/component-base/metrics/legacyregistry"

	"fairlead/proxier"
)

// healthTimeout is how long a change may wait for the kernel before the agent
// counts as unhealthy: kube-proxy's twice the sync period of 30 s.
const healthTimeout = time.Minute

// serveMetrics answers on kube-proxy's metrics port.
func serveMetrics(ctx context.Context, addr string, cfg proxier.Config) error {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", legacyregistry.Handler())
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, "ok") })
	mux.HandleFunc("GET /proxyMode", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = fmt.Fprint(w, "nftables") // which e2e tests of Kubernetes ask for
	})
	mux.HandleFunc("GET /configz", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]any{"fairlead": cfg})
	})
	return serve(ctx, addr, mux)
}

// health is the answer of /healthz and /livez, in kube-proxy's words.
type health struct {
	LastUpdated time.Time `json:"lastUpdated"`
	CurrentTime time.Time `json:"currentTime"`
	Healthy     bool      `json:"healthy"`
}

func serveHealth(ctx context.Context, addr string, p *proxier.Proxier) error {
	answer := func(w http.ResponseWriter, _ *http.Request) {
		now := time.Now()
		h := health{LastUpdated: p.LastSync(), CurrentTime: now, Healthy: p.Behind() < healthTimeout}
		code := http.StatusOK
		if h.Healthy {
			h.LastUpdated = now
		} else {
			code = http.StatusServiceUnavailable
		}
		w.Header().Set("X-Content-Type-Options", "nosniff")
		writeJSON(w, code, h)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", answer)
	mux.HandleFunc("GET /livez", answer)
	return serve(ctx, addr, mux)
}

func writeJSON(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v)
}

// serve answers on addr until ctx ends; an empty address is nothing to serve.
func serve(ctx context.Context, addr string, h http.Handler) error {
	if addr == "" {
		return nil
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", addr, err)
	}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", addr, err)
	}
	return nil
}
