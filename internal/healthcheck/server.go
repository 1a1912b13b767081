// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package healthcheck

import (
	"net/netip"
	"slices"
	"sync"

	"fairlead/internal/netns"
)

// Name is the name of a Service.
type Name struct{ Namespace, Name string }

// String returns namespace/name.
func (n Name) String() string { return n.Namespace + "/" + n.Name }

// Options are what a Server is told once.
type Options struct {
	// NS is where to listen; nil is the caller's network namespace.
	NS *netns.NS
	// Healthy reports whether the proxy itself keeps up; nil is always.
	Healthy func() bool
	// Report is told when a Service's port, or one of its addresses, cannot be
	// listened on, and with nil when all of them are or none is wanted any more.
	// It is called by Run, for each change once; nil is for nobody to know.
	Report func(Name, error)
}

// Server answers for any number of Services.
type Server struct {
	opts  Options
	poked chan struct{}

	mu       sync.RWMutex
	services map[Name]service
	owners   map[uint16]Name
	on       []netip.Prefix

	sockets map[socket]*listener // of Run
	told    map[Name]string      // of Run: what was reported last
}

// service is what is known of one Service.
type service struct {
	port  uint16 // 0 while only local is known
	local int
}

// New returns a Server without Services. It serves on every address.
func New(opts Options) *Server {
	return &Server{
		opts: opts, poked: make(chan struct{}, 1),
		services: map[Name]service{}, owners: map[uint16]Name{},
		sockets: map[socket]*listener{}, told: map[Name]string{},
	}
}

// Set opens a port for a Service, in place of the one it had. A port that
// another Service had is taken from it.
func (s *Server) Set(name Name, port uint16) {
	s.mu.Lock()
	defer s.mu.Unlock()
	svc := s.services[name]
	if svc.port == port && s.owners[port] == name {
		return
	}
	s.release(name, svc.port)
	svc.port = port
	s.services[name] = svc
	s.owners[port] = name
	s.poke()
}

// SetLocal says how many endpoints on this node take connections of a Service
// that has a port.
func (s *Server) SetLocal(name Name, local int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if svc, ok := s.services[name]; ok {
		svc.local = local
		s.services[name] = svc
	}
}

// Delete closes the port of a Service, if it has one.
func (s *Server) Delete(name Name) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if svc, ok := s.services[name]; ok {
		s.release(name, svc.port)
		delete(s.services, name)
		s.poke()
	}
}

// release gives a port up, unless another Service has taken it.
func (s *Server) release(name Name, port uint16) {
	if s.owners[port] == name {
		delete(s.owners, port)
	}
}

// Serve says on which addresses of the node to listen. A family without any
// prefix is not served; where no address of the node lies in one of them, every
// address is, as by kube-proxy.
func (s *Server) Serve(on []netip.Prefix) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Equal(s.on, on) {
		s.on = slices.Clone(on)
		s.poke()
	}
}

// poke wakes Run.
func (s *Server) poke() {
	select {
	case s.poked <- struct{}{}:
	default:
	}
}
