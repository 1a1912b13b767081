// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"fairlead/internal/lab"
)

// Gate passes the TCP connections of one client on to the API server, and can
// do to them what networks do. It knows nothing of what is inside.
type Gate struct {
	host   *lab.Host
	listen net.Listener

	mu     sync.Mutex
	state  gateState
	change chan struct{} // closed when state changes
	conns  map[net.Conn]struct{}
	done   bool
}

type gateState struct {
	closed bool
	held   bool
	pause  time.Duration // after each read from the server
}

// Gate returns a new gate to the API server, on a port of its own. It ends with
// the host, and makes no more connections when ctx is done.
func (p *Plane) Gate(ctx context.Context) (*Gate, error) {
	g := &Gate{host: p.cfg.Host, change: make(chan struct{}), conns: map[net.Conn]struct{}{}}
	addr := net.JoinHostPort(p.cfg.Host.Addr4.String(), "0")
	err := p.cfg.Host.NS.Do(func() (err error) {
		g.listen, err = new(net.ListenConfig).Listen(ctx, "tcp4", addr)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open gate: %w", err)
	}
	go g.accept(ctx, p)
	return g, nil
}

// URL is what the client's kubeconfig says.
func (g *Gate) URL() string { return "https://" + g.listen.Addr().String() }

// Cut resets all connections. New ones are welcome.
func (g *Gate) Cut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for c := range g.conns {
		reset(c)
	}
}

// Shut resets all connections and refuses new ones until Open.
func (g *Gate) Shut() {
	g.set(gateState{closed: true})
	g.Cut()
}

// Hold keeps all connections open but lets nothing through from the server until
// Open: a stale watch. The client hears of it from its own pings, or never.
func (g *Gate) Hold() { g.set(gateState{held: true}) }

// Slow lets through a few hundred bytes at a time, with a pause after each.
func (g *Gate) Slow(pause time.Duration) { g.set(gateState{pause: pause}) }

// Open ends what Shut, Hold and Slow began.
func (g *Gate) Open() { g.set(gateState{}) }

func (g *Gate) set(s gateState) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.state = s
	close(g.change)
	g.change = make(chan struct{})
}

func (g *Gate) now() (gateState, <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.state, g.change
}

// Close ends the gate and its connections.
func (g *Gate) Close() error {
	g.mu.Lock()
	g.done = true
	g.mu.Unlock()
	err := g.listen.Close()
	g.Open()
	g.Cut()
	return err
}

func (g *Gate) accept(ctx context.Context, p *Plane) {
	for {
		client, err := g.listen.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		go g.serve(ctx, p, client)
	}
}

// serve copies between a client and the server until one of them ends.
func (g *Gate) serve(ctx context.Context, p *Plane, client net.Conn) {
	if s, _ := g.now(); s.closed {
		reset(client)
		return
	}
	server, err := p.dial(ctx, "127.0.0.1:"+apiserverPort)
	if err != nil {
		reset(client) // as a host does on which nobody listens
		return
	}
	if !g.track(client, server) {
		return
	}
	go func() {
		_, _ = io.Copy(server, client)
		reset(server)
	}()
	g.deliver(client, server)
	g.forget(client, server)
}

// deliver copies from the server to the client as the state allows.
func (g *Gate) deliver(client, server net.Conn) {
	buf := make([]byte, 32<<10)
	for {
		s, changed := g.now()
		if s.held {
			<-changed
			continue
		}
		size := len(buf)
		if s.pause > 0 {
			size = 400
		}
		n, err := server.Read(buf[:size])
		// What was read while nothing was held may yet be held.
		for s, changed = g.now(); s.held; s, changed = g.now() {
			<-changed
		}
		if s.pause > 0 {
			select {
			case <-changed:
			case <-time.After(s.pause):
			}
		}
		if _, werr := client.Write(buf[:n]); werr != nil || err != nil {
			return
		}
	}
}

func (g *Gate) track(conns ...net.Conn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, c := range conns {
		if g.done || g.state.closed {
			reset(c)
			continue
		}
		g.conns[c] = struct{}{}
	}
	return !g.done && !g.state.closed
}

func (g *Gate) forget(conns ...net.Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, c := range conns {
		delete(g.conns, c)
		reset(c)
	}
}

// reset closes a connection so that the other side gets an error, not an end.
func reset(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	_ = c.Close()
}
