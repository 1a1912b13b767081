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

	"fairlead/internal/httpd"
	"fairlead/internal/worker"
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

// listener is an open socket, or the reason why it is not open.
type listener struct {
	http *httpd.Server
	err  error
}

// errNotAll is the error of a pass after which a wanted socket is not open. Report has
// the reasons.
var errNotAll = errors.New("some sockets are not open")

// errSockets is the reason of a socket beyond Options.Sockets.
var errSockets = errors.New("too many health check ports; raise the limit of open files")

// Run listens until ctx is done, then closes every socket and returns nil.
func (s *Server) Run(ctx context.Context) error {
	var serving sync.WaitGroup
	defer serving.Wait()
	serving.Go(func() { s.watch(ctx) })
	defer s.closeAll()
	s.inbox.Wake()
	backoff := worker.Backoff{First: 100 * time.Millisecond, Last: 30 * time.Second}
	return worker.Run(ctx, s.inbox.Woken(), backoff, func(ctx context.Context) error {
		err := s.reconcile(ctx, &serving)
		s.report()
		return err
	})
}

// reconcile closes the sockets that are no longer wanted and opens the others.
func (s *Server) reconcile(ctx context.Context, serving *sync.WaitGroup) error {
	want := s.want()
	keep := make(map[socket]bool, len(want))
	for _, k := range want {
		keep[k] = true
	}
	open := 0
	for k, l := range s.sockets {
		if !keep[k] {
			l.close()
			delete(s.sockets, k)
		} else if l.http != nil {
			open++
		}
	}
	var failed error
	for _, k := range want {
		l := s.sockets[k]
		if l == nil {
			l = &listener{}
			s.sockets[k] = l
		}
		if l.http != nil {
			continue
		}
		if l.err = errSockets; open < s.opts.Sockets {
			l.err = s.listen(ctx, k, l, serving)
		}
		if l.err != nil {
			failed = errNotAll
		} else {
			open++
		}
	}
	return failed
}

func (s *Server) listen(ctx context.Context, k socket, l *listener, serving *sync.WaitGroup) error {
	var open net.Listener
	err := s.inside(func() error {
		var err error
		open, err = new(net.ListenConfig).Listen(ctx, k.network, k.String())
		return err
	})
	if err != nil {
		return reason(err)
	}
	srv := httpd.NewServer(s.pool, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { s.answer(k.port, w) }), 0)
	l.http = srv
	serving.Go(func() { _ = srv.Serve(open) }) // until close
	return nil
}

// reason returns the error number if there is one, because the rest repeats the address.
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

// report calls Options.Report for each Service whose sockets changed their state.
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
	for name := range s.reported {
		if wrong[name] == nil {
			delete(s.reported, name)
			s.opts.Report(name, nil)
		}
	}
	for name, list := range wrong {
		slices.Sort(list)
		if text := strings.Join(list, ", "); s.reported[name] != text {
			s.reported[name] = text
			s.opts.Report(name, errors.New(text))
		}
	}
}
