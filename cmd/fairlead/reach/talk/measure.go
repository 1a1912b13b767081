// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package talk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"fairlead/cmd/fairlead/reach/plan"
)

const (
	// rounds is how often each path is measured. All paths take turns, so that what
	// happens on the nodes meanwhile meets all of them.
	rounds = 6
	// parallel is the number of connections at the same time in a count of them.
	parallel = 8
	// maxTimes bounds the times that are kept of one path.
	maxTimes = 1 << 18
)

// Measure measures paths for about a duration each, and passes them to emit when all are
// measured. step is called before each measurement with its number and that of all.
func (d Dialer) Measure(ctx context.Context, paths []plan.Path, each time.Duration, step func(n, of int), emit func(plan.Figures)) error {
	part := each / (3 * rounds)
	sums := make([]sum, len(paths))
	for round := range rounds {
		for i, p := range paths {
			step(round*len(paths)+i+1, rounds*len(paths))
			if err := d.measure(ctx, p.Target, part, &sums[i]); err != nil {
				return fmt.Errorf("%s of %s, %s: %w", p.Via, p.Server, p.Target, err)
			}
		}
	}
	for i, p := range paths {
		emit(sums[i].figures(p))
	}
	return ctx.Err()
}

// sum is what was measured on a path so far.
type sum struct {
	times       []time.Duration
	connections int
	connecting  time.Duration
	bytes       int64
	sending     time.Duration
	failed      int
}

func (s *sum) figures(p plan.Path) plan.Figures {
	slices.Sort(s.times)
	at := func(percent int) time.Duration {
		if len(s.times) == 0 {
			return 0
		}
		return s.times[len(s.times)*percent/100]
	}
	return plan.Figures{
		Path: p, P50: at(50), P99: at(99), Failed: s.failed,
		Connections: float64(s.connections) / max(s.connecting.Seconds(), 1e-9),
		Bytes:       float64(s.bytes) / max(s.sending.Seconds(), 1e-9),
	}
}

// measure adds one round: times, connections, bytes.
func (d Dialer) measure(ctx context.Context, target string, part time.Duration, s *sum) error {
	n, failed, err := d.connections(ctx, target, part, 1, func(took time.Duration) {
		if len(s.times) < maxTimes {
			s.times = append(s.times, took)
		}
	})
	if err == nil && n == 0 {
		err = errors.New("no connection succeeds")
	}
	if err != nil {
		return err
	}
	s.failed += failed
	start := time.Now()
	n, failed, err = d.connections(ctx, target, part, parallel, nil)
	if err != nil {
		return err
	}
	s.connections, s.connecting, s.failed = s.connections+n, s.connecting+time.Since(start), s.failed+failed
	start = time.Now()
	bytes, err := d.download(ctx, target, part)
	s.bytes, s.sending = s.bytes+bytes, s.sending+time.Since(start)
	return err
}

// connections makes new connections, some at the same time, and counts them. On a busy machine
// the time may be over before the first one, which is made nevertheless, so that a path without a
// success is one that fails. With one at a time each gets the time of a success.
func (d Dialer) connections(ctx context.Context, target string, part time.Duration, atOnce int, each func(time.Duration)) (n, failed int, err error) {
	end := time.Now().Add(part)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range atOnce {
		wg.Go(func() {
			for tried := false; ctx.Err() == nil && (!tried || time.Now().Before(end)); tried = true {
				one, cancel := context.WithTimeout(ctx, patient)
				start := time.Now()
				_, err := d.askTCP(one, target)
				took := time.Since(start)
				cancel()
				mu.Lock()
				if err != nil {
					failed++
				} else {
					n++
					if each != nil {
						each(took)
					}
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return n, failed, ctx.Err()
}

// download reads from one connection for a while.
func (d Dialer) download(ctx context.Context, target string, part time.Duration) (n int64, err error) {
	limited, cancel := context.WithTimeout(ctx, part)
	defer cancel()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: d, ReadBufferSize: 1 << 18}}
	req, err := http.NewRequestWithContext(limited, http.MethodGet, fmt.Sprintf("http://%s/bytes?n=%d", target, int64(maxBytes)), nil)
	if err != nil {
		return 0, err
	}
	resp, err := client.Do(req)
	if err == nil {
		defer func() { _ = resp.Body.Close() }()
		n, err = io.Copy(io.Discard, resp.Body)
	}
	if limited.Err() != nil {
		return n, ctx.Err() // it is the end of the part, or of all
	}
	return n, err
}
