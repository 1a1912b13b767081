// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package healthcheck

import (
	"fmt"
	"net/http"
	"strconv"
)

// body is kube-proxy's, to the byte: some load balancers compare text.
const body = `{
	"service": {
		"namespace": %q,
		"name": %q
	},
	"localEndpoints": %d,
	"serviceProxyHealthy": %v
}`

// answer answers a request on a port, whatever its path and method: with 200
// when this node has endpoints and the proxy keeps up, else with 503.
func (s *Server) answer(port uint16, w http.ResponseWriter) {
	s.mu.RLock()
	name, known := s.owners[port]
	local := s.services[name].local
	s.mu.RUnlock()
	if !known { // closing
		http.Error(w, "no Service has this port", http.StatusServiceUnavailable)
		return
	}
	healthy := s.opts.Healthy == nil || s.opts.Healthy()
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	// KEP-3836: how much of the traffic this node should get beside others.
	h.Set("X-Load-Balancing-Endpoint-Weight", strconv.Itoa(local))
	if local > 0 && healthy {
		w.WriteHeader(http.StatusOK)
	} else {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_, _ = fmt.Fprintf(w, body, name.Namespace, name.Name, local, healthy)
}
