// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"syscall"
	"time"

	"fairlead/internal/httpd"
	"fairlead/internal/leftovers"

	"k8s.io/component-base/metrics/legacyregistry"
	_ "k8s.io/component-base/metrics/prometheus/restclient" // rest_client_*, as all components have it
	_ "k8s.io/component-base/metrics/prometheus/version"    // kubernetes_build_info, likewise
	"k8s.io/klog/v2"
)

// metricsHandler serves the paths of kube-proxy's metrics port, and the status page. The
// answer of /configz is effective.
func metricsHandler(effective any, profiling bool, status *pages) http.Handler {
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
	status.register(mux)
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

const (
	// listenRetry is the time between two attempts to listen on an address that is in
	// use, as in kube-proxy.
	listenRetry = 5 * time.Second
	// listenLine is the time between two lines about the same failure.
	listenLine = time.Minute
)

// serve answers on addr until ctx is done, then returns nil. An empty address serves
// nothing. While the address is in use, perhaps by the agent that this one replaces,
// serve retries, and does so at once when owned is closed. With hardFail it returns an
// error instead, unless that agent still runs.
func serve(ctx context.Context, owned <-chan struct{}, addr string, hardFail bool, srv *httpd.Server) error {
	if addr == "" {
		return nil
	}
	var takeOver time.Time // until when the address may be that of the other agent
	var lines listenLines
	for {
		alone := isClosed(owned)
		err := serveOnce(ctx, addr, srv, &lines)
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
		lines.failed(ctx, addr, err)
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

func serveOnce(ctx context.Context, addr string, srv *httpd.Server, lines *listenLines) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	lines.listening(ctx, addr)
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	return srv.Serve(l) //nolint:wrapcheck // it says what it did
}

// listenLines logs why an address is not served, when that changes and each minute.
type listenLines struct {
	last string
	at   time.Time
}

// listening logs that an address is served after all.
func (l *listenLines) listening(ctx context.Context, addr string) {
	if l.last != "" {
		klog.FromContext(ctx).Info("Serving on an address that was in use", "address", addr)
	}
	l.last = ""
}

// failed logs err. Another process answers the requests to an address that is in use,
// so the line has the process IDs of kube-proxy if they are visible here.
func (l *listenLines) failed(ctx context.Context, addr string, err error) {
	text := err.Error()
	if text == l.last && time.Since(l.at) < listenLine {
		return
	}
	l.last, l.at = text, time.Now()
	log := klog.FromContext(ctx)
	if !errors.Is(err, syscall.EADDRINUSE) {
		log.Error(err, "Failed to serve, retrying", "address", addr, "retryIn", listenRetry)
		return
	}
	facts := []any{"address", addr, "retryIn", listenRetry}
	if pids, _ := leftovers.Running(leftovers.KubeProxy); len(pids) > 0 {
		facts = append(facts, "kubeProxy", pids)
	}
	log.Error(nil, "Another process uses this address and answers its requests, retrying. The kubelet must probe --probe-bind-address meanwhile", facts...)
}
