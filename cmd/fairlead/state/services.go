// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package state

// Services is the answer of ServicesPath: a page of the list of Services, sorted by
// namespace and name. The parameter after=NAMESPACE/NAME continues after a Service,
// limit=N bounds the page, and match=TEXT selects by a part of namespace/name.
type Services struct {
	Protocol string `json:"protocol"`
	// Counted is false if endpoints have no counters (--backend-counters), or if they
	// could not be read.
	Counted  bool      `json:"counted"`
	Services []Service `json:"services"`
	Total    int       `json:"total"`          // of all Services that match
	Next     string    `json:"next,omitempty"` // continue after this one; "" at the end
}

// Service is a Service as the agent knows it.
type Service struct {
	Name      string   `json:"name"` // namespace/name
	Addresses []string `json:"addresses"`
	Ports     []string `json:"ports"` // for example http 80/tcp
	Endpoints int      `json:"endpoints"`
	Ready     int      `json:"ready"` // endpoints that are ready
	Problems  int      `json:"problems,omitempty"`
	// Connections were sent from this node; PerSecond is the rate of the last seconds.
	// They are nil without counters.
	Connections *uint64  `json:"connections,omitempty"`
	PerSecond   *float64 `json:"perSecond,omitempty"`
}
