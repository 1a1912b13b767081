// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"errors"
	"sync"
	"time"

	"fairlead/cmd/fairlead-lab/world"
	"fairlead/internal/chaos"
	"fairlead/internal/inet"
	"fairlead/internal/lab"
)

const (
	// pace is the pause between two connections of a client.
	pace = 25 * time.Millisecond
	// try is how long one attempt waits. A connection that was not answered is
	// attempted again, from another port, as clients do.
	try = 500 * time.Millisecond
	// patience is how long silence may last before it counts as a failure. Only
	// silence: a busy machine is silent, and refuses nothing.
	patience = 2 * time.Second
	// giveUp is when a client stops waiting, and when a stream is broken, if agents are
	// away for some seconds only.
	giveUp = 30 * time.Second
)

// load makes connections until it is stopped.
type load struct {
	r      *runner
	cancel context.CancelFunc
	done   sync.WaitGroup
	close  []func() // after done
}

// client is one source of connections.
type client struct {
	name string
	from *lab.Host
	to   inet.Addr
	svc  *service // nil for a pod's own address
	last string   // the server of the last answer, for sticky clients
	seen time.Duration
	// asked counts the answers at the client's present port.
	asked int
	flow  chaos.Flow // the present TCP connection, if it is one of many
}

// startLoad starts all clients, in each family.
func (r *runner) startLoad(ctx context.Context) *load {
	ctx, cancel := context.WithCancel(ctx)
	l := &load{r: r, cancel: cancel}
	web, dns, cart := r.services[0], r.services[1], r.services[2]
	last := r.Cluster.Nodes[len(r.Cluster.Nodes)-1]
	far := r.pool[len(r.Cluster.Nodes)-1].Pod // on the last node
	pod := r.Client.Host
	l.every(ctx, func(ctx context.Context) { r.control(ctx) })
	for i, vip := range web.ClusterIPs {
		family := [...]string{" over IPv4", " over IPv6"}[i]
		direct := inet.Addr{IP: far.Addrs()[i], Port: world.WebPort, Proto: inet.TCP}
		for _, c := range []*client{
			{name: "TCP", from: pod, to: web.At(vip), svc: web},
			{name: "UDP", from: pod, to: dns.At(dns.ClusterIPs[i]), svc: dns},
			{name: "sticky TCP", from: pod, to: cart.At(cart.ClusterIPs[i]), svc: cart},
			{name: "node to Service", from: last.Host, to: web.At(vip), svc: web},
			{name: "NodePort", from: r.Cluster.Outside, to: r.nodePort(last, vip), svc: web},
			{name: "pod to pod", from: pod, to: direct},
		} {
			c.name += family
			l.every(ctx, func(ctx context.Context) { l.short(ctx, c) })
		}
		for _, c := range []*client{
			{name: "stream to Service", from: pod, to: web.At(vip)},
			{name: "stream to pod", from: pod, to: direct},
			{name: "UDP from one port", from: pod, to: dns.At(dns.ClusterIPs[i]), svc: dns},
		} {
			c.name += family
			l.hold(ctx, c)
		}
	}
	return l
}

// stop ends the clients. What they have begun is finished.
func (l *load) stop() {
	l.cancel()
	l.done.Wait()
	for _, f := range l.close {
		f()
	}
	l.r.waiting.Wait()
}

// every calls do at the pace of a client. The context of do outlives the load.
func (l *load) every(ctx context.Context, do func(context.Context)) {
	l.done.Go(func() { lab.Every(ctx, pace, do) })
}

// short makes one connection, or asks one question from a new port.
func (l *load) short(ctx context.Context, c *client) {
	l.ask(c, try, func() (lab.Reply, error) {
		ctx, cancel := context.WithTimeout(ctx, try)
		defer cancel()
		return l.r.dial(ctx, c)
	})
}

// hold keeps one connection open and asks again and again. A TCP connection has to
// survive everything, and may only stall. A UDP socket may be answered by others in time.
func (l *load) hold(ctx context.Context, c *client) {
	var conn *lab.Conn
	l.close = append(l.close, func() {
		if conn != nil {
			_ = conn.Close()
		}
	})
	l.every(ctx, func(ctx context.Context) {
		switch {
		case c.to.Proto == inet.TCP && conn == nil:
			conn = l.r.open(ctx, c)
		case c.to.Proto == inet.TCP:
			if !l.r.stream(ctx, c, conn) {
				_ = conn.Close()
				conn = nil
			}
		default:
			conn = l.keepPort(ctx, c, conn)
		}
	})
}

// renewed is after how many answers a UDP client takes another port, so that some begin while
// rules are missing.
const renewed = 100

// keepPort asks over UDP until there is an answer, from one port, and returns the socket of
// the next question or nil.
func (l *load) keepPort(ctx context.Context, c *client, conn *lab.Conn) *lab.Conn {
	if conn == nil {
		opened, err := c.from.Socket(ctx, c.to)
		if err != nil {
			l.r.fail("%s: %v", c.name, err)
			return nil
		}
		conn, c.asked = opened, 0
	}
	l.ask(c, try, func() (lab.Reply, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), try)
		defer cancel()
		return conn.Ask(ctx)
	})
	if c.asked++; c.asked < renewed {
		return conn
	}
	_ = conn.Close()
	return nil
}

// outageOf is the trouble of one connection.
type outageOf struct {
	from, to time.Duration // from the first sign of trouble to the last
	err      error         // the first one
	stalled  bool          // whether there was any
	stream   bool          // from one question to its answer
}

// ask tries until there is an answer.
func (l *load) ask(c *client, wait time.Duration, do func() (lab.Reply, error)) {
	start := l.r.now()
	var trouble outageOf
	for {
		began := l.r.now()
		reply, err := do()
		if err == nil {
			l.r.answered(c, l.r.now()-start, trouble)
			l.r.judgeServer(c, reply.Server, start)
			return
		}
		now := l.r.now()
		if !trouble.stalled {
			trouble = outageOf{from: now, err: err, stalled: true}
		}
		trouble.to = max(trouble.from, began)
		if l.r.fair(start)-start > l.r.giveUp {
			l.r.fail("%s: no answer within %s; first at %.3fs: %v, last: %v", c.name, l.r.giveUp, trouble.from.Seconds(), trouble.err, err)
			return
		}
		if !errors.Is(err, lab.ErrTimeout) {
			pauseFor(wait / 10) // what refuses at once is not asked at once again
		}
	}
}

// pauseFor waits.
func pauseFor(d time.Duration) { <-time.After(d) }

// answered counts an answer and judges how long it took.
func (r *runner) answered(c *client, took time.Duration, t outageOf) {
	r.mu.Lock()
	r.tally.done++
	if !t.stalled {
		r.mu.Unlock()
		return
	}
	end := r.history.Fair(t.from, t.to)
	covered := r.history.Covered(t.from, end)
	kind, since, ok := r.history.Cause(t.from)
	if t.stream {
		covered = end-patience <= r.history.SilentUntil(t.from, false)
		kind, since, ok = r.history.Cause(t.from + took/2)
	}
	began := r.now() - took
	silent := (t.err == nil || errors.Is(t.err, lab.ErrTimeout)) && r.history.Fair(began, r.now()) <= began+patience+try
	switch {
	case covered && ok:
		r.tally.delayed(kind, outage{clients: 1, longest: r.now() - since})
	case silent:
		r.tally.slow++
		r.tally.slowest = max(r.tally.slowest, took)
	}
	r.mu.Unlock()
	if covered || silent {
		return
	}
	r.fail("%s: trouble from %.3fs to %.3fs, which nothing permits: %v; it took %s", c.name, t.from.Seconds(), t.to.Seconds(), t.err, took.Round(time.Millisecond))
}

// judgeServer checks that the one that answered may still do so, and that a sticky
// client stays where it was.
func (r *runner) judgeServer(c *client, server string, start time.Duration) {
	if c.svc == nil {
		return
	}
	left, away := c.svc.leftAt(server)
	r.mu.Lock()
	stale := away && !r.history.Late(left, r.history.Fair(left, start))
	last, seen := c.last, c.seen
	lost := r.history.Covered(start, start) || r.history.Covered(seen, seen)
	r.mu.Unlock()
	if (stale || c.svc.Sticky && last != server) && r.resumed(c, server) {
		r.mu.Lock()
		r.tally.old++
		r.mu.Unlock()
		return
	}
	if stale {
		r.fail("%s: answered by %s, which left at %.3fs, at %.3fs", c.name, server, left.Seconds(), start.Seconds())
	}
	if !c.svc.Sticky {
		return
	}
	c.last, c.seen = server, start
	if last == "" || last == server || lost || r.mayMove(c.svc, last, seen, start) {
		return
	}
	r.fail("%s: moved from %s to %s at %.3fs, although %s had not left", c.name, last, server, start.Seconds(), last)
}

// mayMove reports whether a sticky client may have moved away from a server that it met
// last at one time, at another.
func (r *runner) mayMove(s *service, from string, seen, now time.Duration) bool {
	left, away := s.leftAt(from)
	r.mu.Lock()
	defer r.mu.Unlock()
	return away || left >= seen || left > 0 && r.history.Late(left, r.history.Fair(left, now))
}
