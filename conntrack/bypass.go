// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package conntrack

import (
	"net/netip"
	"time"
)

// The kernel decides about masquerade when a flow begins. A flow that began while the rules
// for that were missing keeps its client's address for as long as the client sends, so its
// answers may take another way or have none. Such a flow has no answer, and its source is not
// translated. Among those, a search of all flows finds:
//
//   - Flows that leave the cluster by this node. Each one there is wrong, and is deleted.
//   - Flows from an endpoint to itself through a Service. The same holds.
//   - Other flows to endpoints. Not each one is masqueraded, and an answer may come late, so
//     they are looked at again, every bypassEvery. A connection that still has no answer is
//     deleted then, and a flow of UDP once the client has sent again. The client then begins
//     a flow that meets the rules.
//
// A flow that is deleted without need costs a client that repeats itself no more than another
// endpoint.
const (
	bypassEvery = 2 * time.Second
	bypassFor   = 2 * time.Minute // the kernel's timeout of an opening TCP flow
	// bypassLimit bounds how many flows are looked at again. Each costs a request.
	bypassLimit = 1 << 12
)

// Leaves reports whether connections from one address to another one are masqueraded because
// they leave the cluster.
type Leaves = func(from, to netip.Addr) bool

// bypassed is a flow to look at again, as it was at a time.
type bypassed struct {
	left time.Duration
	at   time.Time
}

// bypasses are the flows to look at again. The worker alone uses them.
type bypasses struct {
	of    map[Flow]bypassed
	next  time.Time // look
	until time.Time
}

// missed reports whether a flow certainly missed masquerade, and whether it perhaps did.
func (v *View) missed(e *entry, leaves Leaves) (surely, perhaps bool) {
	from, to := e.Client.Addr(), e.Answerer.Addr()
	if !e.unanswered || !e.kept || v.local(to) {
		return false, false // packets to this node never leave
	}
	if leaves != nil && leaves(from, to) {
		return true, false
	}
	if !e.translated() {
		return false, false
	}
	b, ours := find(v, e.Dialled, v.frontends)
	if ours = ours && b.has(false, e.Answerer); ours && from == to {
		return true, false
	}
	return false, ours
}

// note remembers a flow that perhaps missed masquerade.
func (b *bypasses) note(e *entry, now time.Time) {
	if len(b.of) >= bypassLimit {
		return
	}
	if b.of == nil {
		b.of = map[Flow]bypassed{}
	}
	if _, known := b.of[e.Flow]; !known {
		b.of[e.Flow] = bypassed{e.left, now}
	}
	if len(b.of) == 1 {
		b.next = now.Add(bypassEvery)
	}
	b.until = now.Add(bypassFor)
}

// due returns when to look again, false if there is no reason to.
func (b *bypasses) due() (time.Time, bool) { return b.next, len(b.of) > 0 }

// refreshed reports whether the client has sent since a flow was noted.
func (b *bypassed) refreshed(left time.Duration, now time.Time) bool {
	const rounding = time.Second // of what the kernel says is left
	return left >= b.left-now.Sub(b.at)+rounding
}
