// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"fairlead/cmd/fairlead/state"
	"fairlead/internal/nstest"
)

// TestUI forwards the page of an agent to those who know the key, and to nobody else.
func TestUI(t *testing.T) {
	nstest.Need(t)
	dir := t.TempDir() + "/run"
	if out, code := command(t, "ui", "--socket-dir", dir); code != 2 || !strings.Contains(out, "no agent answers at "+dir) {
		t.Errorf("without an agent: code %d, %s", code, out)
	}
	agent := startAgent(t, nil, "--manifests", ownedManifests(t, "web", "10.96.0.1"), "--metrics-bind-address", "", "--healthz-bind-address", "", "--socket-dir", dir)
	stateWhen(t, dir, "the agent is in sync", func(s *state.State) bool { return s.Table.InSync })

	p := &process{Cmd: exec.Command("/proc/self/exe", "ui", "--socket-dir", dir)}
	p.Env = append(p.Environ(), "FAIRLEAD_COMMAND=1")
	p.Stdout, p.Stderr = &p.log, &p.log
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Process.Kill() })
	p.logs(t, "End with Ctrl-C.")
	link := regexp.MustCompile(`http://127\.0\.0\.1:\d+/\?key=[A-Z2-7]{26}`).FindString(p.text())
	u, err := url.Parse(link)
	if err != nil || link == "" {
		t.Fatalf("the command prints %q", p.text())
	}
	bare := "http://" + u.Host + "/"
	if out, code := command(t, "ui", "--socket-dir", dir, "--port", u.Port()); code != 2 || !strings.Contains(out, "--port: ") || !strings.Contains(out, "address already in use") {
		t.Errorf("a port that is in use: code %d, %s", code, out)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	reader := &http.Client{Jar: jar}
	ask := func(c *http.Client, method, url, host string) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body)
	}
	for _, tt := range []struct {
		name, method, url, host string
		client                  *http.Client
		code                    int
		body                    string
	}{
		{"no key", "GET", bare, "", reader, 403, "with its key"},
		{"a wrong key", "GET", bare + "?key=" + strings.Repeat("A", 26), "", reader, 403, ""},
		{"the key and a search", "GET", link + "&q=web", "", reader, 200, `value="web"`},
		{"the cookie", "GET", bare, "", reader, 200, "node-a · fairlead</title>"},
		{"the cookie, JSON", "GET", bare + "state", "", reader, 200, `"protocol":"fairlead/v1"`},
		{"another browser", "GET", bare, "", &http.Client{}, 403, ""},
		{"another site", "GET", bare, "evil.example:" + u.Port(), reader, 421, ""},
		{"a change", "POST", bare, "", reader, 405, ""},
	} {
		if code, body := ask(tt.client, tt.method, tt.url, tt.host); code != tt.code || !strings.Contains(body, tt.body) {
			t.Errorf("%s: %d, %s", tt.name, code, body)
		}
	}
	_ = agent.Process.Kill()
	_ = agent.Wait()
	if code, body := ask(reader, "GET", bare, ""); code != 502 || !strings.Contains(body, "no agent answers at ") {
		t.Errorf("after the agent was killed: %d, %s", code, body)
	}
	if err := p.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(); err != nil {
		t.Errorf("ends with %v", err)
	}
}
