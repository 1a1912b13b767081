// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"net/http"
	"time"

	"fairlead/proxier"
)

// health answers load balancers and the kubelet as kube-proxy does.
type health struct {
	node      string
	needsNode bool // a node without Node object takes no traffic
	store     *proxier.Store
	// timeout is how long a change may wait for the kernel before the agent
	// counts as unhealthy: twice the sync period, as in kube-proxy.
	timeout time.Duration
	// ready reports whether everything was in place once.
	ready   func() bool
	answers interface {
		Healthz(code int)
		Livez(code int)
	}
	proxier interface {
		LastSync() time.Time
		Behind() time.Duration
	}
}

// healthAnswer is kube-proxy's, but for the status of each IP family: there is
// one table for both.
type healthAnswer struct {
	LastUpdated  time.Time `json:"lastUpdated"`
	CurrentTime  time.Time `json:"currentTime"`
	NodeEligible *bool     `json:"nodeEligible,omitempty"`
	Healthy      bool      `json:"healthy"`
}

// handler serves /healthz, which says whether load balancers should send
// traffic, /livez, which says whether to leave the agent alone, and /readyz, which
// says whether Services, and the pods' network if it is ours, were once there: a
// rolling update waits for that.
func (h *health) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		eligible := h.eligible()
		h.answers.Healthz(h.answer(w, &eligible))
	})
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { h.answers.Livez(h.answer(w, nil)) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		code := http.StatusOK
		if !h.ready() {
			code = http.StatusServiceUnavailable
		}
		writeJSON(w, code, map[string]bool{"ready": code == http.StatusOK})
	})
	return mux
}

// eligible follows KEP-3836: a node that is about to go asks for no new traffic.
func (h *health) eligible() bool {
	if node := h.store.Node(h.node); node != nil {
		return !node.Leaving
	}
	return !h.needsNode || !h.store.Synced()
}

// keepsUp reports whether the kernel has what the API says, more or less.
func (h *health) keepsUp() bool { return h.proxier.Behind() < h.timeout }

// answer returns the HTTP status.
func (h *health) answer(w http.ResponseWriter, eligible *bool) int {
	now := time.Now()
	a := healthAnswer{LastUpdated: now, CurrentTime: now, NodeEligible: eligible, Healthy: h.keepsUp()}
	if !a.Healthy {
		a.LastUpdated = h.proxier.LastSync()
	}
	code := http.StatusOK
	if !a.Healthy || eligible != nil && !*eligible {
		code = http.StatusServiceUnavailable
	}
	writeJSON(w, code, a)
	return code
}

func writeJSON(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v)
}
