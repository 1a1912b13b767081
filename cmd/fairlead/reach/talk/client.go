// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package talk

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"fairlead/cmd/fairlead/reach/plan"
)

// Times of a client.
const (
	atOnce  = 8                      // checks at the same time
	again   = 250 * time.Millisecond // between two attempts
	patient = 3 * time.Second        // for one connection
	silent  = time.Second            // after which nobody answers
)

// Settle is the time after a client's start within which a check that fails is tried
// again: objects that were just made take a moment to reach all nodes. A later check is
// tried once.
const Settle = 15 * time.Second

// Client tries what a plan lists.
type Client struct {
	Dial Dialer
	// NoNames is why names cannot be looked up; "" looks them up.
	NoNames string
	// Settle is the package's constant, or another time in tests.
	Settle time.Duration
}

// Run tries all checks and passes each result to emit, which is called by one goroutine
// at a time. It returns early only when ctx is done.
func (c *Client) Run(ctx context.Context, checks []plan.Check, emit func(plan.Result)) {
	settled := time.Now().Add(c.Settle)
	var mu sync.Mutex
	var g errgroup.Group
	g.SetLimit(atOnce)
	for _, check := range checks {
		g.Go(func() error {
			r := c.check(ctx, check, settled)
			if ctx.Err() != nil {
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			emit(r)
			return nil
		})
	}
	_ = g.Wait() // no check returns an error
}

// check tries until it passes or the world had its time to settle.
func (c *Client) check(ctx context.Context, check plan.Check, settled time.Time) plan.Result {
	r := plan.Result{Check: check}
	if c.NoNames != "" && len(check.Want.Addrs) > 0 {
		r.Skip = c.NoNames
	}
	if r.Skip != "" {
		return r
	}
	for {
		r.Attempts++
		start := time.Now()
		var err error
		r.Problem, err = c.attempt(ctx, &check)
		r.Millis = float64(time.Since(start).Microseconds()) / 1000
		if errors.Is(err, syscall.ENETUNREACH) && (check.Kind == plan.ExternalIP || check.Kind.IsBalancer()) {
			r.Problem, r.Skip = "", "the client has no route to addresses outside of its network"
			return r
		}
		if r.Passed = r.Problem == ""; r.Passed {
			return r
		}
		select {
		case <-time.After(again):
		case <-ctx.Done():
			return r
		}
		if time.Now().After(settled) {
			return r
		}
	}
}

// attempt makes all connections of a check once. problem is "" if it passes.
func (c *Client) attempt(ctx context.Context, check *plan.Check) (problem string, err error) {
	var replies []plan.Reply
	var addrs []netip.Addr
	for range max(1, check.Want.Count) {
		limit := patient
		if check.Want.Silence() {
			limit = silent
		}
		one, cancel := context.WithTimeout(ctx, limit)
		switch {
		case len(check.Want.Addrs) > 0:
			addrs, err = c.lookup(one, check)
		case check.Want.Any:
			err = c.connect(one, check.Target)
		default:
			var r plan.Reply
			if r, err = c.Dial.ask(one, check.Proto, check.Target); err == nil {
				replies = append(replies, r)
			}
		}
		cancel()
		if err != nil {
			break
		}
	}
	return check.Want.Judge(replies, addrs, plain(err)), err
}

// connect makes a connection to a server that is not one of ours.
func (c *Client) connect(ctx context.Context, target string) error {
	conn, err := c.Dial(ctx, "tcp", target)
	if err != nil {
		return err
	}
	return conn.Close()
}

// lookup asks the servers of /etc/resolv.conf over the protocol of the check.
func (c *Client) lookup(ctx context.Context, check *plan.Check) ([]netip.Addr, error) {
	r := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, address string) (net.Conn, error) {
		return c.Dial(ctx, string(check.Proto), address)
	}}
	list, err := r.LookupNetIP(ctx, "ip", check.Target)
	for i := range list {
		list[i] = list[i].Unmap()
	}
	return list, err
}

// plain returns err in few words.
func plain(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.DeadlineExceeded) || isTimeout(err):
		return errors.New("no answer in time")
	case errors.Is(err, syscall.ECONNREFUSED):
		return errors.New("connection refused")
	case errors.Is(err, syscall.EHOSTUNREACH):
		return errors.New("no route to host")
	case errors.Is(err, syscall.ENETUNREACH):
		return errors.New("network is unreachable: the client has no route")
	case errors.Is(err, syscall.EPERM):
		return errors.New("a rule of the client's node drops the packet")
	case errors.Is(err, syscall.ECONNRESET):
		return errors.New("connection reset")
	}
	return err
}

func isTimeout(err error) bool {
	n, ok := errors.AsType[net.Error](err)
	return ok && n.Timeout()
}

// unwrapURL removes the words of package net/http.
func unwrapURL(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}
