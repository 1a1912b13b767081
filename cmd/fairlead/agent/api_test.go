// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/klog/v2"
	"k8s.io/klog/v2/textlogger"

	"fairlead/internal/nstest"
)

// lines is a log.
type lines struct{ nstest.Log }

// count returns how often the log contains text.
func (l *lines) count(text string) int { return strings.Count(l.String(), text) }

func logTo(ctx context.Context, l *lines) context.Context {
	return klog.NewContext(ctx, textlogger.NewLogger(textlogger.NewConfig(textlogger.Output(l))))
}

var errRefused = &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}

// TestAPIServerAway logs the first failure at once, repeats it with a growing delay,
// and logs the return. The problem is the same text for /readyz.
func TestAPIServerAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log lines
		ctx, cancel := context.WithCancel(logTo(t.Context(), &log))
		s := newAPIServer(ctx, "https://api:6443")
		done := make(chan error)
		go func() { done <- s.watch(ctx) }()
		var answer func(*http.Request) (*http.Response, error)
		rt := s.wrap(roundTripper(func(r *http.Request) (*http.Response, error) { return answer(r) }))
		request := func() error {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://api:6443/", nil)
			if err != nil {
				t.Fatal(err)
			}
			_, err = rt.RoundTrip(r)
			return err
		}
		const away, back = `"The API server is unreachable, retrying"`, `"Reached the API server" server="https://api:6443"`
		answer = func(*http.Request) (*http.Response, error) { return nil, errRefused }
		err := request()
		if utilnet.IsConnectionRefused(err) || !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("error %v, want one that client-go does not wait for", err)
		}
		if log.count(away) != 1 || log.count(`server="https://api:6443" since=`) != 1 {
			t.Errorf("log: %s", log.String())
		}
		if p := s.problem(); !strings.HasPrefix(p, "https://api:6443 is unreachable since ") || !strings.HasSuffix(p, "connection refused") {
			t.Errorf("problem %q", p)
		}
		time.Sleep(time.Minute) // after 10, 30 and 70 s
		if got := log.count(away); got != 3 {
			t.Errorf("%d lines within a minute, want 3", got)
		}
		answer = func(*http.Request) (*http.Response, error) { //nolint:unparam // as http.RoundTripper wants it
			return &http.Response{StatusCode: http.StatusOK}, nil
		}
		if err := request(); err != nil || log.count(back) != 1 || s.problem() != "" {
			t.Errorf("%v, problem %q, log: %s", err, s.problem(), log.String())
		}
		time.Sleep(time.Hour)
		if got := log.count(away); got != 3 {
			t.Errorf("%d lines after it was reached", got)
		}
		answer = func(*http.Request) (*http.Response, error) { //nolint:unparam // as http.RoundTripper wants it
			return &http.Response{StatusCode: http.StatusUnauthorized, Status: "401 Unauthorized"}, nil
		}
		if err := request(); err != nil || log.count("401 Unauthorized") != 1 {
			t.Errorf("%v, log: %s", err, log.String())
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("end: %v", err)
		}
	})
}

// TestAPIServerSilent logs a server that accepts requests and does not answer.
func TestAPIServerSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log lines
		ctx, cancel := context.WithCancel(logTo(t.Context(), &log))
		s := newAPIServer(ctx, "https://api:6443")
		done := make(chan error)
		go func() { done <- s.watch(ctx) }()
		rt := s.wrap(roundTripper(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		}))
		asked := make(chan error)
		go func() {
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://api:6443/", nil)
			if err == nil {
				_, err = rt.RoundTrip(r)
			}
			asked <- err
		}()
		time.Sleep(5 * time.Second)
		if log.count("no answer for 4s") != 1 {
			t.Errorf("after 5 s: %q", log.String())
		}
		cancel()
		if err := <-asked; !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
		if err := <-done; err != nil {
			t.Errorf("end: %v", err)
		}
	})
}

// TestQuiet omits what the observer logs, under any name and with any keys.
func TestQuiet(t *testing.T) {
	var log lines
	quiet := klog.FromContext(withoutUnreachable(logTo(t.Context(), &log)))
	quiet = klog.LoggerWithValues(klog.LoggerWithName(quiet, "x"), "key", 1)
	quiet.WithCallDepth(1).Error(fmt.Errorf("list: %w", &unreachable{errRefused}), "Omitted")
	quiet.WithCallDepth(1).Error(errors.New("forbidden"), "Logged")
	quiet.Info("Warning: watch ended with error", "err", "x")
	quiet.Error(errors.New("failed to list: json: cannot unmarshal object into Go struct field ServiceList.items of type []v1.Service"), "Typed")
	quiet.Error(errors.New(`no kind "X" is registered for version "v1" in scheme "pkg/runtime/scheme.go:111"`), "Scheme")
	quiet.Error(errors.New("forbidden"), "Event", "event", &eventsv1.Event{Reason: "Problem", Regarding: corev1.ObjectReference{Kind: "Node", Name: "node-a"}})
	if log.count("Omitted") != 0 || log.count("Logged") != 1 || log.count("watch ended") != 0 {
		t.Errorf("log: %s", log.String())
	}
	for _, want := range []string{"field items is of the kind object", `registered for version`, `event="Problem of Node node-a"`} {
		if log.count(want) != 1 {
			t.Errorf("log has no %s: %s", want, log.String())
		}
	}
	if log.count("v1.Service") != 0 || log.count("scheme.go") != 0 || log.count("logr.go") != 0 {
		t.Errorf("log: %s", log.String())
	}
}

// TestWait leaves a goroutine behind that does not end, and returns the error of one
// that failed.
func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		for _, failure := range []error{nil, errors.New("broken")} {
			ctx, cancel := context.WithCancel(t.Context())
			group, inner := errgroup.WithContext(ctx)
			group.Go(func() error { <-release; return nil })
			if failure != nil {
				group.Go(func() error { return failure })
			} else {
				cancel()
			}
			start := time.Now()
			if err := wait(ctx, inner, group); !errors.Is(err, failure) || time.Since(start) != endTime {
				t.Errorf("%v after %s, want %v after %s", err, time.Since(start), failure, endTime)
			}
			cancel()
		}
		close(release)
	})
}
