// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package healthcheck

import (
	"net"
	"net/netip"
	"slices"
	"sync"

	"github.com/vishvananda/netlink"

	"fairlead/internal/httpd"
	"fairlead/internal/netns"
	"fairlead/internal/worker"
)

// Name is the name of a Service.
type Name struct{ Namespace, Name string }

// String returns namespace/name.
func (n Name) String() string { return n.Namespace + "/" + n.Name }

// Options are the fixed settings of a Server.
type Options struct {
	// NS is the network namespace to listen in; nil is the caller's.
	NS *netns.NS
	// Healthy reports whether the proxy itself is healthy; nil is always.
	Healthy func() bool
	// Report receives an error when the Server cannot listen on all addresses of a
	// Service's port, and nil when it can again or the port is no longer wanted. Run
	// calls it once for each change. It may be nil.
	Report func(Name, error)
	// Sockets is the maximum number of listening sockets; 0 is a quarter of the files
	// that the process may open, so that other work always finds descriptors.
	Sockets int
}

// Server answers for any number of Services. Its methods are safe for concurrent use.
type Server struct {
	opts  Options
	pool  *httpd.Pool             // of the connections to all ports
	inbox *worker.Inbox[struct{}] // wakes Run after a change

	mu       sync.RWMutex
	services map[Name]service
	owners   map[uint16]Name
	on       []netip.Prefix // replaced, never changed

	sockets  map[socket]*listener // used by Run alone
	reported map[Name]string      // used by Run alone: the last report

	// Outside of tests these are net.InterfaceAddrs and netlink.AddrSubscribeWithOptions.
	interfaceAddrs func() ([]net.Addr, error)
	subscribe      func(chan<- netlink.AddrUpdate, <-chan struct{}, netlink.AddrSubscribeOptions) error
}

// service is one Service.
type service struct {
	port  uint16
	local int
}

// New returns a Server without Services. It serves on every address.
func New(opts Options) *Server {
	if opts.Sockets == 0 {
		opts.Sockets = httpd.Descriptors() / 4
	}
	return &Server{
		opts: opts, pool: httpd.NewPool(), inbox: worker.NewInbox[struct{}](),
		services: map[Name]service{}, owners: map[uint16]Name{},
		sockets: map[socket]*listener{}, reported: map[Name]string{},
		interfaceAddrs: net.InterfaceAddrs, subscribe: netlink.AddrSubscribeWithOptions,
	}
}

// Set replaces the port of a Service. If another Service has the port, it loses it.
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
	s.inbox.Wake()
}

// SetLocal sets the number of endpoints on this node that take connections of a
// Service. It has no effect on a Service without a port.
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
		s.inbox.Wake()
	}
}

// release frees a port, unless another Service has it now.
func (s *Server) release(name Name, port uint16) {
	if s.owners[port] == name {
		delete(s.owners, port)
	}
}

// Serve sets the addresses of the node to listen on. A family without a prefix is not
// served. If no address of the node is in a prefix, all addresses are served, as by
// kube-proxy.
func (s *Server) Serve(on []netip.Prefix) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Equal(s.on, on) {
		s.on = slices.Clone(on)
		s.inbox.Wake()
	}
}
