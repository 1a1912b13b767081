// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"fmt"
	"net/http"
	"sync"
	"time"

	"k8s.io/client-go/kubernetes"

	"fairlead/cmd/fairlead/options"
)

// queryTimeout is how long one request of a Query may take.
const queryTimeout = 10 * time.Second

// Query asks the API server a few questions, for commands.
type Query struct {
	Client kubernetes.Interface

	mu            sync.Mutex
	server, local time.Time // at the last answer
}

// NewQuery returns nil if the API server is no source with this configuration.
func NewQuery(cfg *options.Config) (*Query, error) {
	rc, err := clientConfig(cfg)
	if rc == nil || err != nil {
		return nil, err
	}
	q := &Query{}
	rc.Timeout = queryTimeout
	rc.Wrap(func(rt http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			resp, err := rt.RoundTrip(r)
			if err == nil {
				q.note(resp.Header.Get("Date"))
			}
			return resp, err
		})
	})
	if q.Client, err = kubernetes.NewForConfig(rc); err != nil {
		return nil, fmt.Errorf("reach the API server: %w", err)
	}
	return q, nil
}

func (q *Query) note(date string) {
	at, err := http.ParseTime(date)
	if err != nil {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.server, q.local = at, time.Now()
}

// Clock returns the time of the API server in its last answer, in whole seconds, and the
// time of this node then. It returns false before the first answer.
func (q *Query) Clock() (server, local time.Time, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.server, q.local, !q.server.IsZero()
}
