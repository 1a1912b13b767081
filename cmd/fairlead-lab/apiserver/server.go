// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package apiserver is as much of a Kubernetes API server as the agents of a lab need:
// it lists and watches Services, EndpointSlices, Nodes and Pods in JSON, accepts
// Events and changes of a Node's status without keeping them, and can be away for a
// while. It speaks plain HTTP and knows no users.
package apiserver

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Server is the API server. Its methods are safe for concurrent use.
type Server struct {
	objects *objects
	listen  func() (net.Listener, error)

	mu   sync.Mutex
	http *http.Server // nil while the server is away
	done sync.WaitGroup
}

// New returns a server without objects that is away. It will listen with listen, which
// returns the same address each time.
func New(listen func() (net.Listener, error)) *Server {
	return &Server{objects: newObjects(), listen: listen}
}

// Start makes the server answer.
func (s *Server) Start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.http != nil {
		return nil
	}
	l, err := s.listen()
	if err != nil {
		return fmt.Errorf("start API server: %w", err)
	}
	s.http = &http.Server{Handler: http.HandlerFunc(s.serve), ReadHeaderTimeout: time.Minute}
	srv := s.http
	s.done.Go(func() { _ = srv.Serve(l) })
	return nil
}

// Stop ends all connections and refuses new ones. Objects stay, and change.
func (s *Server) Stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.http == nil {
		return nil
	}
	err := s.http.Close()
	s.http = nil
	s.done.Wait()
	return err
}

// Apply stores the objects of a manifest.
func (s *Server) Apply(text string) error { return s.objects.apply(text) }

// Remove deletes an object of a namespace, if it is there. The resource is as in paths,
// for example "services".
func (s *Server) Remove(resource, namespace, name string) {
	s.objects.remove(resource, namespace+"/"+name)
}

// target is what a path names.
type target struct{ resource, namespace, name string }

// parse reads paths such as /api/v1/nodes/a, /apis/discovery.k8s.io/v1/endpointslices
// and /api/v1/namespaces/default/services/web.
func parse(path string) (t target, ok bool) {
	words := strings.Split(strings.Trim(path, "/"), "/")
	switch {
	case len(words) >= 3 && words[0] == "api":
		words = words[2:]
	case len(words) >= 4 && words[0] == "apis":
		words = words[3:]
	default:
		return target{}, false
	}
	if len(words) >= 3 && words[0] == "namespaces" {
		t.namespace, words = words[1], words[2:]
	}
	t.resource = words[0]
	if len(words) > 1 {
		t.name = words[1]
	}
	return t, true
}

// lists maps resources to the kinds of their lists.
func lists() map[string][2]string {
	return map[string][2]string{
		"services": {"ServiceList", "v1"}, "nodes": {"NodeList", "v1"}, "pods": {"PodList", "v1"},
		"endpointslices": {"EndpointSliceList", "discovery.k8s.io/v1"},
		"servicecidrs":   {"ServiceCIDRList", "networking.k8s.io/v1"},
	}
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	t, ok := parse(r.URL.Path)
	list, served := lists()[t.resource]
	switch {
	case ok && r.Method == http.MethodPost && t.resource == "events":
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, `{"kind":"Event","apiVersion":"v1"}`)
	case !ok || !served:
		status(w, http.StatusNotFound, "NotFound")
	case t.name != "" && (r.Method == http.MethodGet || r.Method == http.MethodPatch):
		s.one(w, t)
	case r.Method != http.MethodGet:
		status(w, http.StatusMethodNotAllowed, "MethodNotAllowed")
	case r.URL.Query().Get("watch") != "":
		s.watch(w, r, t.resource, list)
	default:
		s.list(w, t.resource, list)
	}
}

// one answers with one object. A patch leaves it as it is.
func (s *Server) one(w http.ResponseWriter, t target) {
	raw := s.objects.get(t.resource, t.namespace+"/"+t.name)
	if raw == nil {
		status(w, http.StatusNotFound, "NotFound")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(raw)
}

func (s *Server) list(w http.ResponseWriter, resource string, kind [2]string) {
	items, version := s.objects.list(resource)
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{
		"kind": kind[0], "apiVersion": kind[1], "metadata": map[string]string{"resourceVersion": strconv.FormatUint(version, 10)}, "items": items,
	})
}

// watch streams changes, after all objects and a bookmark if the client wants those
// (KEP-3157), until the client or the server goes.
func (s *Server) watch(w http.ResponseWriter, r *http.Request, resource string, kind [2]string) {
	version, err := strconv.ParseUint(r.URL.Query().Get("resourceVersion"), 10, 64)
	initial := r.URL.Query().Get("sendInitialEvents") == "true"
	if err != nil && !initial {
		status(w, http.StatusBadRequest, "BadRequest")
		return
	}
	w.Header().Set("Content-Type", "application/json;stream=watch")
	out := stream{Encoder: json.NewEncoder(w), flush: w.(http.Flusher).Flush}
	if initial {
		var items []json.RawMessage
		items, version = s.objects.list(resource)
		for _, raw := range items {
			_ = out.send("ADDED", raw)
		}
		_ = out.send("BOOKMARK", bookmark(kind, version))
	}
	_ = s.follow(r.Context(), out, resource, version) // a client that has gone needs no answer
}

// follow sends what changes after a version.
func (s *Server) follow(ctx context.Context, out stream, resource string, version uint64) error {
	for {
		changes, now, more, ok := s.objects.since(resource, version)
		if !ok {
			return out.send("ERROR", json.RawMessage(`{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Expired","code":410}`))
		}
		for _, c := range changes {
			if err := out.send(c.verb, c.object); err != nil {
				return err
			}
		}
		out.flush()
		version = now
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-more:
		}
	}
}

// stream writes the lines of a watch.
type stream struct {
	*json.Encoder
	flush func()
}

func (s stream) send(verb string, object json.RawMessage) error {
	return s.Encode(map[string]any{"type": verb, "object": object})
}

// bookmark ends the initial events.
func bookmark(list [2]string, version uint64) json.RawMessage {
	return fmt.Appendf(nil, `{"kind":%q,"apiVersion":%q,"metadata":{"resourceVersion":"%d","annotations":{"k8s.io/initial-events-end":"true"}}}`,
		strings.TrimSuffix(list[0], "List"), list[1], version)
}

func status(w http.ResponseWriter, code int, reason string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	fmt.Fprintf(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":%q,"code":%d}`, reason, code)
}
