// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"net/http"
	"time"

	"k8s.io/klog/v2"

	"fairlead/cmd/fairlead/ask"
	"fairlead/cmd/fairlead/state"
	"fairlead/internal/httpd"
)

// socketRetry is the time between two attempts to make the socket for commands.
const socketRetry = 30 * time.Second

// socketHandler answers commands.
func (a *agent) socketHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+state.Path, func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, a.reporter.State())
	})
	mux.HandleFunc("GET "+state.LogPath, func(w http.ResponseWriter, _ *http.Request) {
		klog.Flush()
		lines, cut := a.cfg.Log.Lines()
		writeJSON(w, http.StatusOK, state.Log{Protocol: state.Protocol, Lines: lines, Cut: cut})
	})
	a.pages.register(mux)
	return mux
}

// serveSocket answers commands on the socket until ctx is done, then returns nil. It
// begins when this agent is the only one on the node. An agent without a socket works,
// so a failure is a problem of the node, and serveSocket retries.
func (a *agent) serveSocket(ctx context.Context) error {
	dir := a.cfg.Serve.SocketDir
	if dir == "" {
		return nil
	}
	select {
	case <-ctx.Done():
		return nil
	case <-a.owned:
	}
	takeOver := time.Now().Add(takeOverTime) // the kernel may still close the socket of an agent that was killed
	for {
		err := a.serveSocketOnce(ctx, dir)
		if ctx.Err() != nil {
			return nil
		}
		if time.Now().Before(takeOver) {
			select {
			case <-ctx.Done():
			case <-time.After(takeOverRetry):
			}
			continue
		}
		a.store.Book().NodeReport(a.cfg.Proxier.NodeName, "socket", []string{"commands cannot ask the agent, which works without: " + err.Error()})
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(socketRetry):
		}
	}
}

func (a *agent) serveSocketOnce(ctx context.Context, dir string) error {
	path, err := ask.Socket(dir)
	if err != nil {
		return err
	}
	l, err := ask.Listen(ctx, path)
	if err != nil {
		return err
	}
	klog.FromContext(ctx).V(2).Info("Answering commands", "socket", path)
	a.store.Book().NodeReport(a.cfg.Proxier.NodeName, "socket", nil)
	srv := httpd.NewServer(httpd.NewPool(), a.socketHandler(), 0)
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	return srv.Serve(l) //nolint:wrapcheck // it says what it did
}
