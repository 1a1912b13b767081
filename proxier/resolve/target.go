// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"cmp"
	"net/netip"

	"fairlead/proxier/objects"
)

// Self is what a node knows about itself.
type Self struct {
	Name  string
	Zone  string       // empty without a Node object, or without the label
	Addrs []netip.Addr // addresses of the Node object
}

// target is an endpoint of one port of a Service. The Endpoint belongs to the store.
type target struct {
	*objects.Endpoint
	port uint16
}

func (t target) backend() netip.AddrPort { return netip.AddrPortFrom(t.Addr, t.port) }

// compare orders targets by address, then port.
func (t target) compare(o target) int {
	return cmp.Or(t.Addr.Compare(o.Addr), cmp.Compare(t.port, o.port))
}

// isReady reports whether the endpoint takes connections.
func (t target) isReady() bool { return t.Ready }

// isServing reports whether the endpoint answers flows.
func (t target) isServing() bool { return t.Serving || t.Ready }

// isDraining reports whether the endpoint takes connections while no endpoint is ready.
func (t target) isDraining() bool { return !t.Ready && t.Serving && t.Terminating }

// rank orders statements about one endpoint by how much use it is.
func (t target) rank(self *Self) int {
	rank := 0
	switch {
	case t.Ready:
		rank = 6
	case t.Serving && t.Terminating:
		rank = 4
	case t.Serving:
		rank = 2
	}
	if t.on(self) {
		rank++
	}
	return rank
}

// on reports whether the endpoint runs on this node.
func (t target) on(self *Self) bool { return t.Node.String() == self.Name && self.Name != "" }

// Fallback is why topology hints were not followed; the zero value is that they
// were, or that there are none.
type Fallback struct {
	FallbackReason
	Endpoint netip.AddrPort // the first that has no hint, where that is the reason
}

// FallbackReason is what fallbacks are counted by.
type FallbackReason struct{ Level, Reason string }

// Levels of hints.
const (
	levelNode = "node"
	levelZone = "zone"
)

// Reasons for a fallback.
const (
	reasonNoHint  = "an endpoint has no hint"
	reasonNotHere = "no endpoint is hinted for this node or zone"
	reasonNoZone  = "this node has no zone label"
)

// String is empty for hints that were followed.
func (f Fallback) String() string {
	if f == (Fallback{}) {
		return ""
	}
	s := f.Level + ": " + f.Reason
	if f.Endpoint.IsValid() {
		s += ": " + f.Endpoint.String()
	}
	return s
}
