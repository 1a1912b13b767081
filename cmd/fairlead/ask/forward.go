// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package ask

import (
	"crypto/rand"
	"crypto/subtle"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
)

// Forward is an HTTP handler that passes requests on to the agent behind a socket. Other
// users of the machine reach the port, too, so it answers only those who know its key. A
// browser gets the key with the first address, and keeps it in a cookie that no script
// reads and no other site makes it send.
type Forward struct {
	addr  netip.AddrPort
	key   string
	proxy httputil.ReverseProxy
}

// NewForward returns a Forward that is reached at addr.
func NewForward(c *Client, addr netip.AddrPort) *Forward {
	f := &Forward{addr: addr, key: rand.Text()}
	f.proxy = httputil.ReverseProxy{
		Transport: c.http.Transport,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: "agent"})
			r.Out.Host = "agent"
			r.Out.Header.Del("Cookie")
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, "fairlead: "+c.noAgent(err).Error(), http.StatusBadGateway)
		},
	}
	return f
}

// URL returns the address to open.
func (f *Forward) URL() string { return "http://" + f.addr.String() + "/?key=" + f.key }

// cookie returns the name of the cookie. Cookies do not tell ports of a host apart.
func (f *Forward) cookie() string {
	_, port, _ := net.SplitHostPort(f.addr.String())
	return "fairlead-" + port
}

// ServeHTTP implements http.Handler.
func (f *Forward) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Referrer-Policy", "no-referrer") // which has the key
	switch {
	case r.Host != f.addr.String():
		http.Error(w, "open the address that fairlead ui prints", http.StatusMisdirectedRequest)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		http.Error(w, "this page is read-only", http.StatusMethodNotAllowed)
	case f.knows(r.URL.Query().Get("key")):
		http.SetCookie(w, &http.Cookie{Name: f.cookie(), Value: f.key, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode})
		q := r.URL.Query()
		q.Del("key")
		http.Redirect(w, r, (&url.URL{Path: "/", RawQuery: q.Encode()}).String(), http.StatusSeeOther)
	case f.known(r):
		f.proxy.ServeHTTP(w, r)
	default:
		http.Error(w, "open the address that fairlead ui prints, with its key", http.StatusForbidden)
	}
}

func (f *Forward) known(r *http.Request) bool {
	c, err := r.Cookie(f.cookie())
	return err == nil && f.knows(c.Value)
}

func (f *Forward) knows(key string) bool {
	return subtle.ConstantTimeCompare([]byte(key), []byte(f.key)) == 1
}
