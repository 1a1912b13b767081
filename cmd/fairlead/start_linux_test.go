// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"fairlead/internal/nstest"
)

// process is an agent whose log is kept.
type process struct {
	*exec.Cmd
	log nstest.Log
}

func (p *process) text() string { return ownOutput(p.log.String()) }

// startAgent runs this test binary as the agent.
func startAgent(t *testing.T, attr *syscall.SysProcAttr, args ...string) *process {
	t.Helper()
	p := &process{Cmd: exec.Command("/proc/self/exe", append([]string{"run", "--node-name", "node-a", "--cluster-cidr", "10.244.0.0/16"}, args...)...)}
	p.Stdout, p.Stderr, p.SysProcAttr = &p.log, &p.log, attr
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p.ProcessState == nil {
			_ = p.Process.Kill()
			_ = p.Wait()
		}
		if t.Failed() {
			t.Logf("the agent's log:\n%s", p.text())
		}
	})
	return p
}

// logs waits for a line, and returns how long that took.
func (p *process) logs(t *testing.T, text string) time.Duration {
	t.Helper()
	start := time.Now()
	eventually(t, "the agent logs "+text, func() error {
		if !strings.Contains(p.text(), text) {
			return fmt.Errorf("its log is %s", p.text())
		}
		return nil
	})
	return time.Since(start)
}

// kubeconfig names an API server that speaks plain HTTP.
func kubeconfig(t testing.TB, addr string) string {
	t.Helper()
	path := t.TempDir() + "/kubeconfig"
	text := fmt.Sprintf(`apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "http://%s"}}]
users: [{name: u, user: {}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
`, addr)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestAPIServerAwayAtStart says within 5 s that the API server refuses connections or
// does not answer, says so in /readyz, notices its return, and ends within a second.
func TestAPIServerAwayAtStart(t *testing.T) {
	nstest.Need(t)
	for _, silent := range []bool{false, true} {
		t.Run(fmt.Sprintf("silent=%v", silent), func(t *testing.T) { testAPIServerAway(t, silent) })
	}
}

func testAPIServerAway(t *testing.T, silent bool) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	want := "no answer for" // of a server that accepts connections in the kernel only
	if !silent {
		want = "connection refused"
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	p := startAgent(t, nil, "--kubeconfig", kubeconfig(t, addr), "--healthz-bind-address", "127.0.0.1:20256", "--metrics-bind-address", "", "-v", "1")
	if took := p.logs(t, want); took > 20*time.Second {
		t.Errorf("it took %s until the log says %q", took, want)
	}
	for _, part := range []string{`"The API server is unreachable, retrying"`, `server="http://` + addr + `"`, `since="20`} {
		if !strings.Contains(p.text(), part) {
			t.Errorf("the log has no %s", part)
		}
	}
	eventually(t, "/readyz says so", func() error {
		if answer := httpGet(t, "http://127.0.0.1:20256/readyz"); !strings.Contains(answer, "503") || !strings.Contains(answer, "http://"+addr+" is unreachable since") {
			return fmt.Errorf("it answers %s", answer)
		}
		return nil
	})
	if n := strings.Count(p.text(), "\n"); n > 8 {
		t.Errorf("%d lines are logged", n)
	}
	if strings.Contains(p.text(), "Feature gate") {
		t.Error("feature gates of client-go are logged at -v=1")
	}
	if !silent {
		returns(t, p, addr)
	}
	start := time.Now()
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(); err != nil || time.Since(start) > 20*time.Second { // a second, unless the machine is busy
		t.Errorf("ended with %v after %s", err, time.Since(start))
	}
	if silent {
		_ = l.Close()
	}
}

// returns starts an API server that has no objects.
func returns(t *testing.T, p *process, addr string) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.NotFoundHandler(), ReadHeaderTimeout: time.Minute}
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close() })
	p.logs(t, `"Reached the API server"`)
}

func httpGet(t *testing.T, url string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error()
	}
	return resp.Status + " " + string(text)
}

// TestWithoutPrivileges ends with one error.
func TestWithoutPrivileges(t *testing.T) {
	nstest.Need(t)
	// A process in a new user namespace has no capability in the network namespace.
	attr := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER}
	for _, overlay := range []string{"", "vxlan"} {
		p := startAgent(t, attr, "--manifests", t.TempDir(), "--metrics-bind-address", "", "--healthz-bind-address", "", "--overlay", overlay)
		err := p.Wait()
		if p.ProcessState.ExitCode() != 1 {
			t.Errorf("ended with %v", err)
		}
		lines := strings.Split(strings.TrimSpace(p.text()), "\n")
		if n := len(lines); n != 2 || lines[1] != "fairlead: open table: CAP_NET_ADMIN is missing: run as root, or add the capability to the pod" {
			t.Errorf("%d lines: %s", n, p.text())
		}
	}
}

// TestStory reads at default verbosity what was started, and what was programmed.
func TestStory(t *testing.T) {
	nstest.Need(t)
	dir := t.TempDir()
	text := `apiVersion: v1
kind: Service
metadata: {name: web}
spec: {clusterIP: 10.96.0.10, ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{port: 80}]
endpoints: [{addresses: [10.244.1.2]}, {addresses: [10.244.1.3]}]
`
	if err := os.WriteFile(dir+"/web.yaml", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p := startAgent(t, nil, "--manifests", dir, "--metrics-bind-address", "", "--healthz-bind-address", "", "--overlay-vni", "7")
	p.logs(t, `"Programmed the table" services=1 endpoints=2 took="`)
	for _, part := range []string{
		`"Starting" version="`, ` kernel="`, ` node="node-a" manifests="` + dir + `"`,
		`"Warning: ignoring unsupported setting" setting="--overlay-vni" reason="has no effect without --overlay=vxlan or vxlan-direct"`,
	} {
		if !strings.Contains(p.text(), part) {
			t.Errorf("the log has no %s", part)
		}
	}
}

// TestBesideKubeProxy starts the agent while another process owns the health port and
// answers everything with 200. The agent says so, and answers the kubelet's probes on
// its own port; when the other process ends, it takes the health port.
func TestBesideKubeProxy(t *testing.T) {
	nstest.Need(t)
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:20356")
	if err != nil {
		t.Fatal(err)
	}
	other := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "other") })}
	go func() { _ = other.Serve(l) }()
	defer func() { _ = other.Close() }()
	p := startAgent(t, nil, "--manifests", t.TempDir(), "--metrics-bind-address", "",
		"--healthz-bind-address", "127.0.0.1:20356", "--probe-bind-address", "127.0.0.1:20357")
	p.logs(t, `"Another process uses this address and answers its requests, retrying. The kubelet must probe --probe-bind-address meanwhile" address="127.0.0.1:20356"`)
	eventually(t, "the agent answers on its own port", func() error {
		if got := httpGet(t, "http://127.0.0.1:20357/readyz"); !strings.HasPrefix(got, "200 OK {\"ready\":true}") {
			return fmt.Errorf("%s", got)
		}
		return nil
	})
	if got := httpGet(t, "http://127.0.0.1:20357/livez"); !strings.Contains(got, `"healthy":true`) {
		t.Errorf("/livez answers %s", got)
	}
	if got := httpGet(t, "http://127.0.0.1:20356/livez"); got != "200 OK other" {
		t.Errorf("the health port answers %s", got)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	p.logs(t, `"Serving on an address that was in use" address="127.0.0.1:20356"`)
	if got := httpGet(t, "http://127.0.0.1:20356/livez"); !strings.Contains(got, `"healthy":true`) {
		t.Errorf("the health port answers %s", got)
	}
}
