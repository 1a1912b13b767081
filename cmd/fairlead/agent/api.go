// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"syscall"
	"time"

	"k8s.io/klog/v2"

	"fairlead/cmd/fairlead/state"
)

const (
	// apiPatience is how long the API server may take to begin an answer.
	apiPatience = 4 * time.Second
	// apiCheck is the time between two looks at requests without an answer.
	apiCheck = 500 * time.Millisecond
	// The delay between two lines about an API server that is away doubles from the
	// first to the last.
	apiFirstLine, apiLastLine = 10 * time.Second, 5 * time.Minute
)

// apiServer observes all requests to the API server. It logs when the server goes away
// and comes back, once for all kinds of objects. Its methods are safe for concurrent
// use.
type apiServer struct {
	url string

	mu       sync.Mutex
	log      klog.Logger
	requests map[*http.Request]time.Time // without an answer yet, by their start
	reached  bool                        // at least once
	since    time.Time                   // of the first failure; zero while the server answers
	err      error                       // the last failure; nil while the server answers
	first    time.Time                   // of the answers since the last failure
	last     time.Time                   // of the last answer
	lastErr  string                      // text of the last failure
	lastAway time.Time                   // of the last failure
	next     time.Time                   // of the next line
	wait     time.Duration
}

func newAPIServer(ctx context.Context, url string) *apiServer {
	return &apiServer{url: url, log: klog.FromContext(ctx), requests: map[*http.Request]time.Time{}}
}

// unreachable is the error of a request without an answer. apiServer logs it, so the
// logger of client-go omits it.
type unreachable struct{ error }

// Unwrap hides a refused connection. client-go waits for up to a minute after such an
// error without looking at its context, and ends at once after all others.
func (u *unreachable) Unwrap() error {
	if errors.Is(u.error, syscall.ECONNREFUSED) {
		return nil
	}
	return u.error
}

// wrap returns a transport that reports the outcome of each request.
func (s *apiServer) wrap(rt http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		s.began(r)
		resp, err := rt.RoundTrip(r)
		switch {
		case r.Context().Err() != nil:
			s.ended(r)
		case err != nil:
			s.failed(r, err)
			err = &unreachable{err}
		case resp.StatusCode >= http.StatusInternalServerError || resp.StatusCode == http.StatusUnauthorized:
			s.failed(r, errors.New(resp.Status))
		default:
			s.answered(r)
		}
		return resp, err
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func (s *apiServer) began(r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests[r] = time.Now()
}

func (s *apiServer) ended(r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.requests, r)
}

func (s *apiServer) failed(r *http.Request, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	start := s.requests[r]
	delete(s.requests, r)
	s.away(start, err)
}

func (s *apiServer) answered(r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.requests, r)
	s.last = time.Now()
	if !s.since.IsZero() || !s.reached {
		s.first = s.last
	}
	switch {
	case !s.since.IsZero():
		s.log.Info("Reached the API server", "server", s.url, "after", time.Since(s.since).Round(time.Millisecond))
	case !s.reached:
		s.log.Info("Reached the API server", "server", s.url)
	}
	s.reached, s.since, s.err, s.wait, s.next = true, time.Time{}, nil, 0, time.Time{}
}

// away notes a failure, and logs the first one and some of those that follow. It needs
// s.mu.
func (s *apiServer) away(start time.Time, err error) {
	now := time.Now()
	if s.since.IsZero() {
		s.since = start
	}
	s.err, s.lastErr, s.lastAway = err, err.Error(), now
	if now.Before(s.next) {
		return
	}
	s.wait = min(max(2*s.wait, apiFirstLine), apiLastLine)
	s.next = now.Add(s.wait)
	s.log.Error(err, "The API server is unreachable, retrying", "server", s.url, "since", wall(s.since).Format(time.RFC3339))
}

// watch reports requests that get no answer, and repeats the line about a server that
// is away, until ctx is done.
func (s *apiServer) watch(ctx context.Context) error {
	tick := time.NewTicker(apiCheck)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			s.check()
		}
	}
}

func (s *apiServer) check() {
	s.mu.Lock()
	defer s.mu.Unlock()
	var oldest time.Time
	for _, start := range s.requests {
		if oldest.IsZero() || start.Before(oldest) {
			oldest = start
		}
	}
	switch {
	case !oldest.IsZero() && time.Since(oldest) > apiPatience:
		s.away(oldest, fmt.Errorf("no answer for %s", time.Since(oldest).Truncate(time.Second)))
	case s.err != nil:
		s.away(s.since, s.err)
	}
}

// problem returns a text about a server that is away, and "" while it answers or s is
// nil.
func (s *apiServer) problem() string {
	if s == nil {
		return ""
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.err != nil:
		return fmt.Sprintf("%s is unreachable since %s: %v", s.url, wall(s.since).Format(time.RFC3339), s.err)
	case !s.reached:
		return s.url + " was not reached yet"
	}
	return ""
}

// state returns what problem says as values. It returns nil if s is nil.
func (s *apiServer) state() *state.APIServer {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out := &state.APIServer{URL: s.url, LastContact: timeOf(s.last), LastError: s.lastErr, LastErrorAt: timeOf(s.lastAway)}
	if s.err != nil {
		out.Away = timeOf(s.since)
	} else if s.reached {
		out.Reached = timeOf(s.first)
	}
	return out
}
