// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package state

// MaxServices is the number of Services in one answer.
const MaxServices = 50

// Query selects Services. The zero value selects the first ones by name.
type Query struct {
	Search string // part of a name or address
	Busy   bool   // those with most new connections come first
	From   int    // the number of Services to leave out
}

// Services are some Services of a node, with what they do.
type Services struct {
	Query
	List  []Service
	Found int // that match the search
	All   int
	// Counted says that the kernel counts connections to endpoints, and Rated that there
	// were two readings of the counters, and so rates.
	Counted, Rated bool
}

// Service is one Service.
type Service struct {
	Name      string   // namespace/name
	Addrs     []string // ClusterIPs, then others
	Ports     []string // for example 80/tcp, or 80:30080/tcp with a port of nodes
	Ready     int      // endpoints that get new connections from somewhere
	Endpoints int
	// Connections counts connections that this node sent to present endpoints, and
	// PerSecond those of the last seconds.
	Connections uint64
	PerSecond   float64
}
