// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package healthcheck

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Retries of a port that cannot be had, doubled from the first to the last.
const (
	firstRetry = 100 * time.Millisecond
	lastRetry  = 30 * time.Second
)

// socket is one place to listen on.
type socket struct {
	network string // "tcp" for both families at once, "tcp4" or "tcp6"
	addr    netip.Addr
	port    uint16
}

func (k socket) String() string {
	if k.network == "tcp" {
		return ":" + strconv.Itoa(int(k.port))
	}
	return netip.AddrPortFrom(k.addr, k.port).String()
}

// listener is a socket that is open, or the wait for the next try.
type listener struct {
	http *http.Server // nil while waiting
	err  error
	wait time.Duration
	at   time.Time // of the next try
}

// Run listens until ctx ends, and returns nil when every socket is closed.
func (s *Server) Run(ctx context.Context) error {
	var serving sync.WaitGroup
	defer serving.Wait()
	serving.Go(func() { s.watch(ctx) })
	defer s.closeAll()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.poked:
		case <-timer.C:
		}
		next := s.reconcile(ctx, &serving)
		s.report()
		timer.Stop()
		if !next.IsZero() {
			timer.Reset(time.Until(next))
		}
	}
}

// reconcile makes the sockets those that are wanted, and returns when to try
// again; zero when all is well.
func (s *Server) reconcile(ctx context.Context, serving *sync.WaitGroup) (next time.Time) {
	want := s.want()
	for k, l := range s.sockets {
		if _, still := want[k]; !still {
			l.close()
			delete(s.sockets, k)
		}
	}
	now := time.Now()
	for k := range want {
		l := s.sockets[k]
		if l == nil {
			l = &listener{}
			s.sockets[k] = l
		}
		if l.http == nil && !now.Before(l.at) {
			s.listen(ctx, k, l, serving)
		}
		if l.http == nil && (next.IsZero() || l.at.Before(next)) {
			next = l.at
		}
	}
	return next
}

func (s *Server) listen(ctx context.Context, k socket, l *listener, serving *sync.WaitGroup) {
	var open net.Listener
	err := s.inside(func() error {
		var err error
		open, err = new(net.ListenConfig).Listen(ctx, k.network, k.String())
		return err
	})
	if err != nil {
		l.err = reason(err)
		l.wait = min(max(2*l.wait, firstRetry), lastRetry)
		l.at = time.Now().Add(l.wait)
		return
	}
	*l = listener{http: &http.Server{
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { s.answer(k.port, w) }),
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       2 * time.Minute,
	}}
	srv := l.http
	serving.Go(func() { _ = srv.Serve(open) }) // until close; errors of single connections it deals with itself
}

// reason is the error number where there is one: the rest repeats the address.
func reason(err error) error {
	if errno := syscall.Errno(0); errors.As(err, &errno) {
		return errno
	}
	return err
}

// inside runs f in the network namespace.
func (s *Server) inside(f func() error) error {
	if s.opts.NS == nil {
		return f()
	}
	return s.opts.NS.Do(f)
}

func (l *listener) close() {
	if l.http != nil {
		_ = l.http.Close()
	}
}

func (s *Server) closeAll() {
	for _, l := range s.sockets {
		l.close()
	}
	clear(s.sockets)
}

// report tells what has changed about what cannot be listened on.
func (s *Server) report() {
	if s.opts.Report == nil {
		return
	}
	wrong := map[Name][]string{}
	s.mu.RLock()
	for k, l := range s.sockets {
		if name, ok := s.owners[k.port]; ok && l.err != nil {
			wrong[name] = append(wrong[name], fmt.Sprintf("listen on %s: %v", k, l.err))
		}
	}
	s.mu.RUnlock()
	for name := range s.told {
		if wrong[name] == nil {
			delete(s.told, name)
			s.opts.Report(name, nil)
		}
	}
	for name, list := range wrong {
		slices.Sort(list)
		if text := strings.Join(list, ", "); s.told[name] != text {
			s.told[name] = text
			s.opts.Report(name, errors.New(text))
		}
	}
}
