// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package ask

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"fairlead/cmd/fairlead/state"
)

// answers serves h on a socket and returns a client for it.
func answers(t *testing.T, h http.HandlerFunc) *Client {
	t.Helper()
	path := place(t)
	l := listen(t, path)
	srv := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close() })
	return NewClient(path)
}

func TestState(t *testing.T) {
	c := answers(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != state.Path {
			t.Errorf("asks for %s", r.URL.Path)
		}
		_, _ = w.Write([]byte(`{"protocol":"fairlead/v1","node":"node-a","of":"a newer agent"}`))
	})
	s, err := c.State(t.Context())
	if err != nil || s.Node != "node-a" {
		t.Errorf("State returns %+v, %v", s, err)
	}
}

// TestHostileAnswers: an old agent, another program, and endless or slow answers end in
// an error that says what happened.
func TestHostileAnswers(t *testing.T) {
	text := func(s string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(s)) }
	}
	for name, tt := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"another protocol": {text(`{"protocol":"fairlead/v2"}`), `speaks "fairlead/v2" and this command "fairlead/v1"`},
		"no protocol":      {text(`{}`), `speaks ""`},
		"no JSON":          {text(`hello`), "read the answer of the agent"},
		"no such path":     {http.NotFound, "the agent does not know /v1/state"},
		"an error": {func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, strings.Repeat("x", 9999), http.StatusServiceUnavailable)
		}, "the agent answers 503"},
		"endless": {func(w http.ResponseWriter, _ *http.Request) {
			chunk := []byte(strings.Repeat(" ", 1<<20))
			for range maxAnswer>>20 + 2 {
				if _, err := w.Write(chunk); err != nil {
					return
				}
			}
		}, "is larger than"},
		"hangs": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "deadline exceeded"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			if name == "hangs" {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, 200*time.Millisecond)
				defer cancel()
			}
			_, err := answers(t, tt.answer).State(ctx)
			if err == nil || !strings.Contains(err.Error(), tt.want) || len(err.Error()) > 1000 {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

// TestNoAgent tells a missing agent from other errors.
func TestNoAgent(t *testing.T) {
	path := place(t)
	if _, err := NewClient(path).State(t.Context()); !errors.Is(err, ErrNoAgent) || !strings.Contains(err.Error(), path) {
		t.Errorf("without a file: %v", err)
	}
	_ = listen(t, path).Close()
	killed(t, path)
	if _, err := NewClient(path).State(t.Context()); !errors.Is(err, ErrNoAgent) {
		t.Errorf("after the agent was killed: %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	var answer struct{ json.RawMessage }
	if err := NewClient(path).Get(t.Context(), "\x00", &answer); err == nil || errors.Is(err, ErrNoAgent) {
		t.Errorf("a bad path: %v", err)
	}
}

// TestSocketPath is the same for all processes of a network namespace.
func TestSocketPath(t *testing.T) {
	a, err := Socket("/run/x")
	b, err2 := Socket("/run/x")
	if err != nil || err2 != nil || a != b || !strings.HasPrefix(a, "/run/x/agent-") || !strings.HasSuffix(a, ".sock") {
		t.Errorf("Socket returns %s, %v and %s, %v", a, err, b, err2)
	}
}
