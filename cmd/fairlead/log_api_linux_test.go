// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"fairlead/internal/nstest"
)

// emptyAPI answers lists with no object, and watches with nothing for as long as it runs. With
// broken set it answers lists with what is no list.
func emptyAPI(broken *atomic.Bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		parts := strings.Split(r.URL.Path, "/")
		kind := map[string]string{"services": "Service", "endpointslices": "EndpointSlice", "nodes": "Node", "servicecidrs": "ServiceCIDR", "pods": "Pod"}[parts[len(parts)-1]]
		switch {
		case kind == "":
			http.NotFound(w, r)
		case r.URL.Query().Get("watch") != "" && r.URL.Query().Get("sendInitialEvents") == "":
			w.WriteHeader(http.StatusOK)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		case r.URL.Query().Get("watch") != "":
			http.Error(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Invalid","code":422}`, http.StatusUnprocessableEntity)
		case broken.Load():
			_, _ = fmt.Fprintf(w, `{"kind": "%sList", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": {"spec": 5}}`, kind)
		default:
			_, _ = fmt.Fprintf(w, `{"kind": "%sList", "apiVersion": "%s", "metadata": {"resourceVersion": "1"}, "items": []}`, kind, strings.Join(parts[2:len(parts)-1], "/"))
		}
	})
}

// goWords are words of Go in a log or an error: types, functions of client-go, gates.
var goWords = regexp.MustCompile(`\*v1\.|\bv1\.[A-Z]|[Gg]o struct|Feature gate|feature gate|k8s\.io/client-go|scheme\.go|\*url\.Error|runtime error|Unmarshal|<nil>|%!`)

// TestLogAPIServer reads the log at -v=0 and -v=1 while the API server is there, goes away,
// comes back and answers nonsense: a line for each, and no word of Go.
func TestLogAPIServer(t *testing.T) {
	nstest.Need(t)
	for _, v := range []string{"0", "1"} {
		t.Run("v="+v, func(t *testing.T) {
			var broken atomic.Bool
			addr, stop := serveAPI(t, "127.0.0.1:0", emptyAPI(&broken))
			p := startAgent(t, nil, "--kubeconfig", kubeconfig(t, addr), "--healthz-bind-address", "", "--metrics-bind-address", "", "--socket-dir", "", "-v", v)
			p.logs(t, `"Reached the API server"`)
			p.logs(t, `"Programmed the table" services=0 endpoints=0`)
			stop()
			p.logs(t, `"The API server is unreachable, retrying"`)
			broken.Store(true)
			_, stop = serveAPI(t, addr, emptyAPI(&broken))
			p.logs(t, `"Reached the API server" server="http://`+addr+`" after="`)
			stop()
			for line := range strings.Lines(p.text()) {
				if m := goWords.FindString(line); m != "" {
					t.Errorf("%q is no word of users: %s", m, line)
				}
			}
			if n := strings.Count(p.text(), "\n"); n > 20 {
				t.Errorf("%d lines are no story:\n%s", n, p.text())
			}
		})
	}
}

// serveAPI serves until stop is called.
func serveAPI(t *testing.T, addr string, h http.Handler) (at string, stop func()) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	go func() { _ = srv.Serve(l) }()
	stop = func() { _ = srv.Close() }
	t.Cleanup(stop)
	return l.Addr().String(), stop
}

// TestMetricsBeforeSync scrapes an agent that has reached no API server: the series of all
// Kubernetes components are there, as docs/metrics.md says.
func TestMetricsBeforeSync(t *testing.T) {
	nstest.Need(t)
	addr, stop := serveAPI(t, "127.0.0.1:0", http.NotFoundHandler())
	stop()
	p := startAgent(t, nil, "--kubeconfig", kubeconfig(t, addr), "--healthz-bind-address", "", "--metrics-bind-address", "127.0.0.1:20266", "--socket-dir", "")
	p.logs(t, `"The API server is unreachable, retrying"`)
	eventually(t, "the series before the first sync", func() error {
		text := httpGet(t, "http://127.0.0.1:20266/metrics")
		for _, series := range []string{"kubernetes_build_info{", "rest_client_request", "go_goroutines", "process_start_time_seconds", "kubeproxy_sync_proxy_rules_last_timestamp_seconds", "fairlead_frontends"} {
			if !strings.Contains(text, "\n"+series) {
				return fmt.Errorf("no series %s in\n%s", series, text)
			}
		}
		return nil
	})
}

// TestNoKubeconfig gives a file of another kind as kubeconfig: the error names it in words of
// users, whether the node has a table to show or not.
func TestNoKubeconfig(t *testing.T) {
	nstest.Need(t)
	file := t.TempDir() + "/x.yaml"
	for text, want := range map[string]string{
		"apiVersion: v1\nkind: Service\n":             `"` + file + `": no kind "Service" is registered for version "v1"`,
		"apiVersion: v1\nkind: Config\nclusters: 5\n": `"` + file + `": `,
		"\x00\x01": `"` + file + `": `,
		"apiVersion: v1\nkind: Config\nusers: [{a: 1}]\n": "",
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, verb := range []string{"add", "delete"} {
			if out, err := exec.Command("nft", verb, "table", "inet", "fairlead").CombinedOutput(); err != nil {
				t.Fatalf("nft: %v: %s", err, out)
			}
			out, code := command(t, "get", "services", "--kubeconfig", file)
			if code == 0 && verb == "delete" || !strings.Contains(out, cmp.Or(want, "kubeconfig")) || goWords.MatchString(out) {
				t.Errorf("%q, after %s: code %d, %s, want %s", text, verb, code, out, want)
			}
		}
	}
}
