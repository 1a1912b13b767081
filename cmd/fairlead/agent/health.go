// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"fairlead/proxier"
	"fairlead/proxier/store"
)

// health answers load balancers and the kubelet like kube-proxy.
type health struct {
	node      string
	needsNode bool       // without a Node object this node takes no traffic
	api       *apiServer // nil without an API server
	store     *store.Store
	// timeout is how long a change may wait for the kernel before the agent is
	// unhealthy.
	timeout time.Duration
	// ready reports whether Services were in place once, and the network of pods is.
	ready func() bool
	// broken returns for how long the network of pods has lacked a device; nil for never.
	broken  func() time.Duration
	answers interface {
		Healthz(code int)
		Livez(code int)
	}
	proxier interface {
		LastSync() time.Time
		Behind() time.Duration
		Outage() time.Duration
	}
}

// healthAnswer is kube-proxy's without the status of each IP family, because both
// share a table.
type healthAnswer struct {
	LastUpdated  time.Time `json:"lastUpdated"`
	CurrentTime  time.Time `json:"currentTime"`
	NodeEligible *bool     `json:"nodeEligible,omitempty"`
	Healthy      bool      `json:"healthy"`
}

// readyAnswer is the answer of /readyz. Reason says what is missing. APIServer says
// since when and why the API server is unreachable; the data path works without it, so
// the node stays ready.
type readyAnswer struct {
	Ready     bool   `json:"ready"`
	Reason    string `json:"reason,omitempty"`
	APIServer string `json:"apiServer,omitempty"`
}

// handler serves three paths. /healthz reports whether load balancers should send
// traffic. /livez reports whether the kubelet should leave the agent running. /readyz
// reports whether Services, and the pods' network if the agent provides it, are in
// place; a rolling update waits for that.
func (h *health) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		eligible := h.eligible()
		h.answers.Healthz(h.answer(w, &eligible))
	})
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { h.answers.Livez(h.answer(w, nil)) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		code, reason := http.StatusOK, h.unready()
		if reason != "" {
			code = http.StatusServiceUnavailable
		}
		writeJSON(w, code, readyAnswer{Ready: reason == "", Reason: reason, APIServer: h.api.problem()})
	})
	return mux
}

// readyLag is how long a change or a repair may wait for the kernel, and a device of the
// tunnels may be missing, on a node that is ready. The kernel takes one within milliseconds unless it refuses.
const readyLag = 10 * time.Second

// unready returns why the node is not ready, "" if it is.
func (h *health) unready() string {
	if !h.ready() {
		return "Services or the network of pods are not in place yet"
	}
	if lag := h.proxier.Behind(); lag >= readyLag {
		return fmt.Sprintf("changes of the table have failed for %s: see the log", lag.Round(time.Second))
	}
	if out := h.proxier.Outage(); out >= proxier.OutageWindow/2 {
		return fmt.Sprintf("another program keeps changing the table, so parts of it were missing for %s of the last %s: see the log",
			out.Round(time.Second), proxier.OutageWindow)
	}
	if h.broken != nil {
		if lack := h.broken(); lack >= readyLag {
			return fmt.Sprintf("the network of pods has lacked a device for %s: see the log", lack.Round(time.Second))
		}
	}
	return ""
}

// eligible follows KEP-3836: a node that is about to be deleted takes no new traffic.
func (h *health) eligible() bool {
	if node := h.store.Node(h.node); node != nil {
		return !node.Leaving
	}
	return !h.needsNode || !h.store.Synced()
}

// keepsUp reports whether no change waits for the kernel longer than the timeout.
func (h *health) keepsUp() bool { return h.proxier.Behind() < h.timeout }

// answer writes the answer and returns the HTTP status.
func (h *health) answer(w http.ResponseWriter, eligible *bool) int {
	now := time.Now()
	a := healthAnswer{LastUpdated: now, CurrentTime: now, NodeEligible: eligible, Healthy: h.keepsUp()}
	if !a.Healthy {
		a.LastUpdated = wall(h.proxier.LastSync())
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
