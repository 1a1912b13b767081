// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"fairlead/internal/httpd"

	"k8s.io/component-base/metrics/legacyregistry"
	"k8s.io/klog/v2"
)

// metricsHandler serves the paths of kube-proxy's metrics port. The answer of /configz
// is effective.
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
	mux.Handle("GET /proxyMode", text("nftables")) // the e2e tests of Kubernetes read it
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

// The kernel closes the sockets of an agent that is killed one after the other, so an
// address may be in use for a moment after its agent was found to have ended.
const (
	takeOverRetry = 20 * time.Millisecond
	takeOverTime  = time.Second
)

// listenRetry is the time between two attempts to listen on an address that is in
// use, as in kube-proxy.
const listenRetry = 5 * time.Second

// serve answers on addr until ctx is done, then returns nil. An empty address serves
// nothing. While the address is in use, perhaps by the agent that this one replaces,
// serve retries, and does so at once when owned is closed. With hardFail it returns an
// error instead, unless that agent still runs.
func serve(ctx context.Context, owned <-chan struct{}, addr string, hardFail bool, srv *httpd.Server) error {
	if addr == "" {
		return nil
	}
	var takeOver time.Time // until when the address may be that of the other agent
	for {
		alone := isClosed(owned)
		err := serveOnce(ctx, addr, srv)
		switch {
		case ctx.Err() != nil:
			return nil
		case !alone:
			klog.FromContext(ctx).V(2).Info("Failed to serve, retrying when this agent is the only one", "address", addr, "err", err)
			select {
			case <-ctx.Done():
				return nil
			case <-owned:
				takeOver = time.Now().Add(takeOverTime)
			}
			continue
		case time.Now().Before(takeOver):
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(takeOverRetry):
			}
			continue
		case hardFail:
			return fmt.Errorf("serve on %s: %w", addr, err)
		}
		klog.FromContext(ctx).Error(err, "Failed to serve, retrying", "address", addr, "retryIn", listenRetry)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(listenRetry):
		}
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func serveOnce(ctx context.Context, addr string, srv *httpd.Server) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	return srv.Serve(l) //nolint:wrapcheck // it says what it did
}
