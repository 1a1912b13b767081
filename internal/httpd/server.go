// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package httpd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// Limits of a connection. A probe has a header of 200 bytes and no body.
const (
	maxHeader   = 4 << 10 // bytes; net/http adds 4 KiB
	maxBody     = 4 << 10 // bytes
	headerTime  = 5 * time.Second
	requestTime = 10 * time.Second
	idleTime    = time.Minute
)

// WriteTime is the default time for an answer.
const WriteTime = 30 * time.Second

// Server answers on one listener. See NewServer.
type Server struct {
	http http.Server
	pool *Pool
	tls  *tls.Config // nil without TLS
}

// NewServer returns a Server whose connections count in the pool. An answer may take
// the time write, from the end of the request's header to its last byte; 0 is
// WriteTime.
func NewServer(pool *Pool, h http.Handler, write time.Duration) *Server {
	if write == 0 {
		write = WriteTime
	}
	s := &Server{pool: pool}
	s.http = http.Server{
		Handler:           bounded(h),
		MaxHeaderBytes:    maxHeader,
		ReadHeaderTimeout: headerTime,
		ReadTimeout:       requestTime,
		WriteTimeout:      write,
		IdleTimeout:       idleTime,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			if s, ok := c.(secured); ok {
				c = s.NetConn()
			}
			return context.WithValue(ctx, connKey{}, c)
		},
	}
	return s
}

type connKey struct{}

// bounded limits the body, and protects the connection while h answers.
func bounded(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, ok := r.Context().Value(connKey{}).(*conn); ok {
			c.answering(true)
			defer c.answering(false)
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		h.ServeHTTP(w, r)
	})
}

// Secure makes Serve speak TLS, with HTTP/1.1 inside: one connection of HTTP/2 carries
// many requests at once. It must come before Serve. A handshake has the time of a header.
func (s *Server) Secure(cfg *tls.Config) { s.tls = cfg }

// Serve answers on l until Close, then returns nil. It closes l.
func (s *Server) Serve(l net.Listener) error {
	if err := s.http.Serve(&listener{l, s.pool, s.tls}); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("accept: %w", err)
	}
	return nil
}

// Close closes the listener and all connections.
func (s *Server) Close() error {
	if err := s.http.Close(); err != nil {
		return fmt.Errorf("close HTTP server: %w", err)
	}
	return nil
}
