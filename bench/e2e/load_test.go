// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"

	"fairlead/internal/inet"
	"fairlead/internal/lab"
)

// patience is for one connection, on a machine that also starts API servers.
const patience = time.Minute

// path is a way to reach a Service.
type path struct {
	name string
	from *lab.Host
	to   inet.Addr
}

// paths returns, for every agent, ways to s that this agent translates.
func (c *cluster) paths(t *testing.T, s *corev1.Service) (out []path) {
	t.Helper()
	for _, vip := range s.Spec.ClusterIPs {
		ip, err := netip.ParseAddr(vip)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range c.Nodes {
			node := n.Addr4
			if ip.Is6() {
				node = n.Addr6
			}
			out = append(out,
				path{n.Name + " to " + vip, n.Host, inet.Addr{IP: ip, Port: servicePort, Proto: inet.TCP}},
				path{"outside to NodePort of " + n.Name, c.Outside, inet.Addr{IP: node, Port: uint16(s.Spec.Ports[0].NodePort), Proto: inet.TCP}},
			)
			for _, p := range n.Pods() {
				if p.Name == clientPod(n) {
					out = append(out, path{p.Name + " to " + vip, p.Host, inet.Addr{IP: ip, Port: servicePort, Proto: inet.TCP}})
				}
			}
		}
	}
	return out
}

func clientPod(n *lab.Node) string { return "client-" + n.Name }

func (p path) dial(ctx context.Context) (lab.Reply, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	reply, err := p.from.Dial(ctx, p.to)
	if err != nil {
		return reply, fmt.Errorf("%s: %w", p.name, err)
	}
	return reply, nil
}

// meets waits until a connection over each way is answered by server.
func meets(t *testing.T, ways []path, server string) {
	t.Helper()
	each(t, ways, "meet "+server, func(ctx context.Context, p path) error {
		// A connection that began too early is never translated; the next one is.
		ctx, cancel := context.WithTimeout(ctx, lab.Patience)
		defer cancel()
		reply, err := p.dial(ctx)
		if err == nil && reply.Server != server {
			err = fmt.Errorf("%s: %s answered", p.name, reply.Server)
		}
		return err
	})
}

// answers waits until connections over each way end with want.
func answers(t *testing.T, ways []path, want error) {
	t.Helper()
	each(t, ways, "see "+want.Error(), func(ctx context.Context, p path) error {
		ctx, cancel := context.WithTimeout(ctx, lab.Patience)
		defer cancel()
		reply, err := p.from.Dial(ctx, p.to)
		if errors.Is(err, want) {
			return nil
		}
		return fmt.Errorf("%s: %s", p.name, lab.Outcome(reply, err))
	})
}

// each polls all ways at once until f returns nil for each.
func each(t *testing.T, ways []path, what string, f func(context.Context, path) error) {
	t.Helper()
	group, ctx := errgroup.WithContext(t.Context())
	for _, p := range ways {
		group.Go(func() error {
			return poll(ctx, converge, func(ctx context.Context) error { return f(ctx, p) })
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// load dials over each way all the time, one connection after the other.
type load struct {
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu       sync.Mutex
	total    int
	failures []string
}

// inside leaves out the ways by NodePort: a port that is no Service's refuses.
func (c *cluster) inside(ways []path) []path {
	return slices.DeleteFunc(slices.Clone(ways), func(p path) bool { return p.from == c.Outside })
}

func startLoad(t *testing.T, ways []path) *load {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	l := &load{cancel: cancel}
	for _, p := range ways {
		l.done.Go(func() {
			tick := time.NewTicker(50 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
					start := time.Now()
					_, err := p.dial(context.WithoutCancel(ctx))
					l.note(err, start)
				}
			}
		})
	}
	return l
}

func (l *load) note(err error, start time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total++
	if err != nil {
		l.failures = append(l.failures, fmt.Sprintf("%s, after %s: %v", start.Format("15:04:05.000"), time.Since(start).Round(time.Millisecond), err))
	}
}

func (l *load) connections() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.total
}

// goesOn waits for some hundred more connections, and fails when one did.
func (l *load) goesOn(t *testing.T) {
	t.Helper()
	before := l.connections()
	eventually(t, "connections", func(context.Context) error {
		if n := l.connections() - before; n < 500 {
			return fmt.Errorf("%d were made", n)
		}
		return nil
	})
	l.check(t)
}

// check fails the test for connections that failed since the last check.
func (l *load) check(t *testing.T) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, f := range l.failures {
		if i == 5 {
			t.Errorf("%d more of %d connections failed", len(l.failures)-i, l.total)
			break
		}
		t.Errorf("a connection failed: %s", f)
	}
	l.failures = nil
}

func (l *load) stop(t *testing.T) {
	t.Helper()
	l.cancel()
	l.done.Wait()
	l.check(t)
	t.Logf("%d connections were made", l.total)
}
