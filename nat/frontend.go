// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nat

import (
	"iter"
	"net/netip"
	"time"
)

// TrafficPolicy says which connections to a frontend are accepted, which backends may
// take them and whether they are masqueraded.
type TrafficPolicy uint8

const (
	// Reject answers new connections with an ICMP error: nobody can take them.
	Reject TrafficPolicy = iota
	// Drop ignores new connections: nobody on this node can take them.
	Drop
	// Internal is for ClusterIPs: any backend; masqueraded unless the client is
	// a pod of this cluster (see Settings.Pods).
	Internal
	// External is for addresses that are dialled from outside: any backend,
	// always masqueraded, so that replies come back through this node.
	External
	// Local keeps the client's address: clients from outside reach only the
	// Local backends and are not masqueraded; pods reach any backend, not
	// masqueraded; this node reaches any backend, masqueraded.
	Local
)

// Frontend says what happens to new connections to one inet.Addr. It is a value:
// callers do not change it after handing it over.
type Frontend struct {
	Policy TrafficPolicy
	// Backends may all take a connection, with equal probability. They are
	// unique and of the frontend's family; their order does not matter. Empty
	// for Reject and Drop.
	Backends []Backend
	// LocalBackends are those that clients from outside reach under Policy
	// Local. Empty there means that their connections are dropped. Unused with
	// every other policy.
	LocalBackends []netip.AddrPort
	// Affinity keeps a client with its backend until that long after its last
	// new connection; 0 is off.
	Affinity time.Duration
	// Restricted drops every client whose address is outside Sources.
	Restricted bool
	Sources    []netip.Prefix
	// Exclusive rejects connections to those ports of the frontend's IP that
	// are no frontend. It is set for ClusterIPs, which have no other use.
	Exclusive bool
	// Owner is the comment on the frontend's elements: "namespace/name:port".
	Owner string
}

// all yields the addresses of all backends; local ones may come twice.
func (f *Frontend) all() iter.Seq[netip.AddrPort] {
	return func(yield func(netip.AddrPort) bool) {
		for _, b := range f.Backends {
			if !yield(b.AddrPort) {
				return
			}
		}
		for _, b := range f.LocalBackends {
			if !yield(b) {
				return
			}
		}
	}
}

// Backend is one address that connections are sent to.
type Backend struct {
	netip.AddrPort
	// OnNode is set when the backend runs on this node, so that it may dial
	// itself through a frontend (hairpin).
	OnNode bool
}
