// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"k8s.io/component-base/metrics/legacyregistry"
	"k8s.io/klog/v2"
)

// metricsHandler answers what kube-proxy answers on its metrics port; effective
// is the configuration.
func metricsHandler(effective any, profiling bool) http.Handler {
	text := func(answer string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			w.Header().Set("X-Content-Type-Options", "nosniff")
			_, _ = fmt.Fprint(w, answer)
		}
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", legacyregistry.Handler())
	mux.Handle("GET /healthz", text("ok"))
	mux.Handle("GET /proxyMode", text("nftables")) // which e2e tests of Kubernetes ask for
	mux.HandleFunc("GET /configz", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, effective)
	})
	if profiling {
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	}
	return mux
}

// serve answers on addr until ctx ends, and retries or ends as flags say when it
// cannot.
func (f *kubeProxyFlags) serve(ctx context.Context, addr string, h http.Handler) error {
	if !f.hardFail || addr == "" {
		return serve(ctx, addr, h)
	}
	if err := serveOnce(ctx, addr, h); ctx.Err() == nil {
		return fmt.Errorf("serve on %s: %w", addr, err)
	}
	return nil
}

// listenRetry is how often an address that is taken is tried again, as
// kube-proxy does.
const listenRetry = 5 * time.Second

// serve answers on addr until ctx ends; an empty address is nothing to serve.
// While an address is taken, perhaps by the agent that this one replaces, the
// data path is looked after all the same.
func serve(ctx context.Context, addr string, h http.Handler) error {
	if addr == "" {
		return nil
	}
	for {
		err := serveOnce(ctx, addr, h)
		if ctx.Err() != nil {
			return nil
		}
		klog.FromContext(ctx).Error(err, "Serve", "address", addr, "retryIn", listenRetry)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(listenRetry):
		}
	}
}

func serveOnce(ctx context.Context, addr string, h http.Handler) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("accept: %w", err)
	}
	return nil
}
