// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"fairlead/internal/nstest"
)

// The test binary is also the only program in the image of the pods: by the name that
// it is started with, it is a server or what holds a pod's namespaces.
const (
	serverProgram = "server"
	pauseProgram  = "pause"
)

func TestMain(m *testing.M) {
	switch filepath.Base(os.Args[0]) {
	case serverProgram:
		serve()
	case pauseProgram:
		stop := make(chan os.Signal, 1)
		signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
		<-stop
	default:
		nstest.MainAsRoot(m)
	}
}

// podPort is where servers in pods listen.
const podPort = 8080

// serve answers "/" with the name of the pod, and "/from?to=ADDRESS" with what that
// address answers to a new connection of the pod.
func serve() {
	name, _ := os.Hostname()
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, name) })
	mux.HandleFunc("/from", func(w http.ResponseWriter, r *http.Request) {
		answer, err := ask(r.Context(), r.URL.Query().Get("to"), new(net.Dialer).DialContext)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			answer = err.Error()
		}
		_, _ = io.WriteString(w, answer)
	})
	server := &http.Server{Addr: fmt.Sprintf(":%d", podPort), Handler: mux, ReadHeaderTimeout: time.Minute}
	fmt.Fprintln(os.Stderr, server.ListenAndServe())
	os.Exit(1)
}

// dialer connects from somewhere.
type dialer func(ctx context.Context, network, address string) (net.Conn, error)

// ask makes a new connection to address, which may have a path, and returns the answer.
func ask(ctx context.Context, address string, dial dialer) (string, error) {
	client := http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address, nil)
	if err != nil {
		return "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, body)
	}
	return string(body), err
}
