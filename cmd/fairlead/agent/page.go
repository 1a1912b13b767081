// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"

	"fairlead/cmd/fairlead/page"
	"fairlead/cmd/fairlead/state"
)

// pages serves the status page.
type pages struct {
	node     string
	any      bool // answers under every host name
	assets   fs.FS
	now      func() *state.State
	services func(context.Context, state.Query) *state.Services

	// drawing is held while a page is drawn, so that any number of clients keep one
	// processor busy at most. The page is written to a client without it.
	drawing *sync.Mutex
}

// anyHost returns the pages for a port whose clients send a token, which a browser that
// another site misleads does not do.
func (p *pages) anyHost() *pages {
	out := *p
	out.any = true
	return &out
}

func newPages(node string, now func() *state.State, services func(context.Context, state.Query) *state.Services) (*pages, error) {
	assets, err := page.Assets()
	if err != nil {
		return nil, err
	}
	return &pages{node: node, assets: assets, now: now, services: services, drawing: &sync.Mutex{}}, nil
}

// register adds the page, its assets and the state at path to mux.
func (p *pages) register(mux *http.ServeMux) {
	mux.HandleFunc("GET /{$}", p.local(p.serve))
	mux.HandleFunc("GET "+state.PortPath, p.local(func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, p.now()) }))
	for _, name := range []string{"page.css", "page.js", "page.svg"} {
		mux.HandleFunc("GET /"+name, func(w http.ResponseWriter, r *http.Request) {
			p.headers(w)
			http.ServeFileFS(w, r, p.assets, name)
		})
	}
}

func (p *pages) headers(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Security-Policy", page.Policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-cache")
}

func (p *pages) serve(w http.ResponseWriter, r *http.Request) {
	body := p.draw(r)
	p.headers(w)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(body)
}

func (p *pages) draw(r *http.Request) []byte {
	p.drawing.Lock()
	defer p.drawing.Unlock()
	if r.Context().Err() != nil {
		return nil
	}
	return page.Draw(p.now(), p.services(r.Context(), page.ParseQuery(r.URL.Query())))
}

// local refuses requests that name the agent by a foreign host name. A hostile web site
// could otherwise have its name point to a loopback address, and read what the browser of
// an administrator reaches there (DNS rebinding).
func (p *pages) local(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !p.any && !p.ownHost(r.Host) {
			http.Error(w, "ask by an IP address, as localhost or by the name of the node", http.StatusMisdirectedRequest)
			return
		}
		h(w, r)
	}
}

func (p *pages) ownHost(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
	_, err := netip.ParseAddr(host)
	return err == nil || host == "localhost" || host == strings.ToLower(p.node) || host == socketHost
}

// socketHost is the host that commands name over the socket.
const socketHost = "agent"
