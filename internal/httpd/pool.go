// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package httpd

import (
	"container/list"
	"crypto/tls"
	"net"
	"net/netip"
	"sync"
	"syscall"
)

// Bounds of the number of connections of a Pool.
const (
	mostConns  = 64
	leastConns = 4
)

// Descriptors returns the process's limit of open files.
func Descriptors() int {
	var r syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r); err != nil {
		return 1024 // the default of Linux
	}
	return int(min(r.Cur, 1<<20))
}

// Pool bounds the connections of a group of listeners. Its methods are safe for
// concurrent use.
type Pool struct {
	max int

	mu    sync.Mutex
	conns *list.List           // of *conn, the one that was quiet for longest first
	from  map[netip.Prefix]int // number of connections by source
}

// NewPool returns a Pool of at most 64 connections, and fewer if the process may open
// few files: a sixteenth of them, so that several pools leave most to other work.
func NewPool() *Pool {
	return &Pool{
		max: max(leastConns, min(mostConns, Descriptors()/16)), conns: list.New(), from: map[netip.Prefix]int{},
	}
}

// admit adds a connection. If there are too many, it closes one that waits for its
// client, or else the new one and returns nil.
func (p *Pool) admit(c net.Conn) net.Conn {
	added := &conn{Conn: c, pool: p, source: source(c.RemoteAddr())}
	switch closed := p.add(added); closed {
	case nil:
		return added
	case added:
		added.reset()
		return nil
	default:
		closed.reset()
		return added
	}
}

// source returns the address of a client, or the subnet of an IPv6 client: a host can
// have any number of addresses in it.
func source(a net.Addr) netip.Prefix {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	ip := tcp.AddrPort().Addr().Unmap().WithZone("")
	bits := 32
	if ip.Is6() {
		bits = 64
	}
	return netip.PrefixFrom(ip, bits).Masked()
}

// add returns the connection to close, or nil. It chooses the oldest one of the source
// that has the most connections, so that a flood from one address replaces itself.
func (p *Pool) add(c *conn) *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.link(c)
	if p.conns.Len() <= p.max {
		return nil
	}
	closed := c
	most := 0
	for e := p.conns.Front(); e != nil; e = e.Next() {
		old, ok := e.Value.(*conn)
		if ok && old != c && !old.busy && p.from[old.source] > most {
			closed, most = old, p.from[old.source]
		}
	}
	p.unlink(closed)
	return closed
}

// link and unlink need p.mu.
func (p *Pool) link(c *conn) {
	c.at = p.conns.PushBack(c)
	p.from[c.source]++
}

func (p *Pool) unlink(c *conn) {
	if c.at == nil {
		return
	}
	p.conns.Remove(c.at)
	c.at = nil
	if p.from[c.source]--; p.from[c.source] == 0 {
		delete(p.from, c.source)
	}
}

// conn is a connection of a Pool.
type conn struct {
	net.Conn
	pool   *Pool
	source netip.Prefix
	at     *list.Element // guarded by pool.mu; nil when the pool no longer counts it
	busy   bool          // guarded by pool.mu; a handler answers a request
}

// answering protects the connection from replacement while a handler runs.
func (c *conn) answering(busy bool) {
	c.pool.mu.Lock()
	defer c.pool.mu.Unlock()
	c.busy = busy
	if !busy && c.at != nil {
		c.pool.conns.MoveToBack(c.at) // a client that asks is younger than one that does not
	}
}

// Close closes the connection and frees its place.
func (c *conn) Close() error {
	c.pool.mu.Lock()
	c.pool.unlink(c)
	c.pool.mu.Unlock()
	return c.Conn.Close() //nolint:wrapcheck // net/http compares it
}

// reset closes the connection at once: unsent data and TIME_WAIT would cost memory.
func (c *conn) reset() {
	if tcp, ok := c.Conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}

// listener accepts connections into a Pool.
type listener struct {
	net.Listener
	pool *Pool
	tls  *tls.Config // nil without TLS
}

// secured is a connection with TLS. net/http does not know it as one, and so writes no
// line to its own log for each handshake that a client spoils.
type secured struct{ *tls.Conn }

// Accept returns the next connection that the pool admits.
func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err //nolint:wrapcheck // net/http compares it
		}
		switch admitted := l.pool.admit(c); {
		case admitted == nil:
		case l.tls != nil:
			return secured{tls.Server(admitted, l.tls)}, nil
		default:
			return admitted, nil
		}
	}
}
