// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	authn "k8s.io/api/authentication/v1"
	authz "k8s.io/api/authorization/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// apiServer knows the tokens prometheus and guest. The first may get /metrics.
type apiServer struct {
	away            atomic.Bool
	tokens, rights  atomic.Int64 // questions
	running, atOnce atomic.Int64
	hold            chan struct{} // if not nil, answers wait for it
}

func (s *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if n := s.running.Add(1); n > s.atOnce.Load() {
		s.atOnce.Store(n)
	}
	defer s.running.Add(-1)
	if s.hold != nil {
		select {
		case <-s.hold:
		case <-r.Context().Done():
			return
		}
	}
	if s.away.Load() {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	switch {
	case strings.HasSuffix(r.URL.Path, "/tokenreviews"):
		s.tokens.Add(1)
		var v authn.TokenReview
		_ = json.NewDecoder(r.Body).Decode(&v)
		v.Status.Authenticated = v.Spec.Token == "prometheus" || v.Spec.Token == "guest"
		if v.Status.Authenticated {
			v.Status.User = authn.UserInfo{Username: "user-" + v.Spec.Token, Groups: []string{"g"}, Extra: map[string]authn.ExtraValue{"k": {"v"}}}
		}
		v.Spec.Token = ""
		_ = json.NewEncoder(w).Encode(v)
	case strings.HasSuffix(r.URL.Path, "/subjectaccessreviews"):
		s.rights.Add(1)
		var v authz.SubjectAccessReview
		_ = json.NewDecoder(r.Body).Decode(&v)
		n := v.Spec.NonResourceAttributes
		v.Status.Allowed = v.Spec.User == "user-prometheus" && n != nil && n.Path == "/metrics" && n.Verb == "get" && v.Spec.Groups[0] == "g" && v.Spec.Extra["k"][0] == "v"
		_ = json.NewEncoder(w).Encode(v)
	}
}

func guarded(t *testing.T, api http.Handler) (*Guard, http.Handler) {
	t.Helper()
	srv := httptest.NewServer(api)
	t.Cleanup(srv.Close)
	client, err := kubernetes.NewForConfig(&rest.Config{Host: srv.URL, QPS: -1, ContentConfig: rest.ContentConfig{ContentType: "application/json", AcceptContentTypes: "application/json"}})
	if err != nil {
		t.Fatal(err)
	}
	g := New(client)
	return g, g.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, "secret") }))
}

func get(t *testing.T, h http.Handler, method, path, authorization string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, nil)
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if (w.Code == http.StatusOK) != (w.Body.String() == "secret") {
		t.Errorf("%s %s as %.20q: %d with %q", method, path, authorization, w.Code, w.Body)
	}
	return w
}

// TestHandler answers those who may, and nobody else, with one question for each.
func TestHandler(t *testing.T) {
	api := &apiServer{}
	_, h := guarded(t, api)
	for range 3 {
		for _, tt := range []struct {
			method, path, authorization string
			code                        int
			text                        string
		}{
			{"GET", "/metrics", "Bearer prometheus", 200, ""},
			{"GET", "/metrics", "bearer  prometheus ", 200, ""},
			{"GET", "/metrics", "", 401, "send a bearer token"},
			{"GET", "/metrics", "Bearer ", 401, "send a bearer token"},
			{"GET", "/metrics", "Basic cHJvbWV0aGV1cw==", 401, "send a bearer token"},
			{"GET", "/metrics", "Bearer wrong", 401, "does not know this token"},
			{"GET", "/metrics", "Bearer guest", 403, "user-guest may not get the URL /metrics"},
			{"GET", "/configz", "Bearer prometheus", 403, "user-prometheus may not get the URL /configz"},
			{"POST", "/metrics", "Bearer prometheus", 403, "may not post"},
			{"GET", "/metrics/../configz", "Bearer prometheus", 403, ""},
			{"GET", "/" + strings.Repeat("x", 300), "Bearer prometheus", 414, ""},
		} {
			w := get(t, h, tt.method, tt.path, tt.authorization)
			if w.Code != tt.code || !strings.Contains(w.Body.String(), tt.text) || (w.Code == 401) != (w.Header().Get("WWW-Authenticate") != "") {
				t.Errorf("%s %.40s as %q: %d %q, want %d", tt.method, tt.path, tt.authorization, w.Code, w.Body, tt.code)
			}
		}
	}
	if tokens, rights := api.tokens.Load(), api.rights.Load(); tokens != 3 || rights != 5 {
		t.Errorf("%d questions about tokens and %d about rights, want 3 and 5", tokens, rights)
	}
}

// TestAway: while the API server is away, answers count until they expire. Then there is
// no way in, and as soon as the server is back there is.
func TestAway(t *testing.T) {
	api := &apiServer{}
	g, h := guarded(t, api)
	if w := get(t, h, "GET", "/metrics", "Bearer prometheus"); w.Code != 200 {
		t.Fatal(w.Code)
	}
	api.away.Store(true)
	if w := get(t, h, "GET", "/metrics", "Bearer prometheus"); w.Code != 200 {
		t.Errorf("a kept answer is %d", w.Code)
	}
	for _, token := range []string{"guest", "wrong"} {
		if w := get(t, h, "GET", "/metrics", "Bearer "+token); w.Code != 503 || !strings.Contains(w.Body.String(), "API server does not answer") {
			t.Errorf("%s: %d %s", token, w.Code, w.Body)
		}
	}
	key := digest(sha256.Sum256([]byte("prometheus")))
	g.answers.Remove(access{key, "get", "/metrics"})
	if w := get(t, h, "GET", "/metrics", "Bearer prometheus"); w.Code != 503 {
		t.Errorf("an access that expired: %d", w.Code)
	}
	g.users.Remove(key)
	if w := get(t, h, "GET", "/metrics", "Bearer prometheus"); w.Code != 503 {
		t.Errorf("a token that expired: %d", w.Code)
	}
	api.away.Store(false)
	if w := get(t, h, "GET", "/metrics", "Bearer prometheus"); w.Code != 200 {
		t.Errorf("after the server is back: %d", w.Code)
	}
	for name, d := range map[string]time.Duration{"user": userTime, "no user": noUser, "allowed": allowTime, "denied": denyTime} {
		if d <= 0 || d > 5*time.Minute {
			t.Errorf("the answer %q counts for %s", name, d)
		}
	}
}

// TestFlood: ten thousand requests with wrong tokens ask the API server a few times, and
// a known user whose answers have expired is served meanwhile.
func TestFlood(t *testing.T) {
	api := &apiServer{}
	g, h := guarded(t, api)
	if w := get(t, h, "GET", "/metrics", "Bearer prometheus"); w.Code != 200 {
		t.Fatal(w.Code)
	}
	var done sync.WaitGroup
	var busy, unknown, other atomic.Int64
	for i := range 16 {
		done.Go(func() {
			for j := range 625 {
				switch get(t, h, "GET", "/metrics", fmt.Sprintf("Bearer wrong-%d-%d", i, j)).Code {
				case http.StatusTooManyRequests:
					busy.Add(1)
				case http.StatusUnauthorized:
					unknown.Add(1)
				default:
					other.Add(1)
				}
			}
		})
	}
	key := digest(sha256.Sum256([]byte("prometheus")))
	for range 20 {
		g.users.Remove(key)
		g.answers.Remove(access{key, "get", "/metrics"})
		if w := get(t, h, "GET", "/metrics", "Bearer prometheus"); w.Code != 200 {
			t.Errorf("the known user gets %d %s", w.Code, w.Body)
		}
	}
	done.Wait()
	if n := unknown.Load(); n < burst/2 || n > 500 || other.Load() > 0 {
		t.Errorf("%d refused, %d unknown and %d other answers", busy.Load(), n, other.Load())
	}
	if n := api.atOnce.Load(); n > 2*atOnce {
		t.Errorf("%d questions ran at once", n)
	}
	if n := len(g.users.Keys()); n > most {
		t.Errorf("%d answers are kept", n)
	}
}

// TestSilent: an API server that takes requests and never answers costs the clients their
// patience, and no more than a few questions.
func TestSilent(t *testing.T) {
	api := &apiServer{hold: make(chan struct{})}
	g, h := guarded(t, api)
	g.good.Add(digest(sha256.Sum256([]byte("prometheus"))), true, time.Hour)
	start := time.Now()
	var done sync.WaitGroup
	for range 50 {
		done.Go(func() {
			if w := get(t, h, "GET", "/metrics", "Bearer prometheus"); w.Code != 503 {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
	done.Wait()
	if took := time.Since(start); took > 2*patience {
		t.Errorf("50 clients waited for %s", took)
	}
	if n := api.atOnce.Load(); n != 1 {
		t.Errorf("%d questions for 50 clients with one token", n)
	}
	close(api.hold)
}
