// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"cmp"
	"net/netip"
	"slices"
)

// Peer is a node and its VTEP address of one family.
type Peer struct {
	Node string
	Addr netip.Addr
}

// Lost is a peer that did not answer.
type Lost struct {
	Peer
	Missed int // packets in a row
}

// tolerated is the number of packets in a row that may be lost without a report.
const tolerated = 2

// Round counts lost packets. The zero value is ready to use; it belongs to one
// goroutine.
type Round struct{ missed map[Peer]int }

// End takes the peers that did not answer in this round, and returns those that did not
// in the last ones either, in order. A peer that is not among them answered or is gone.
func (r *Round) End(silent []Peer) []Lost {
	missed := make(map[Peer]int, len(silent))
	var lost []Lost
	for _, p := range silent {
		if missed[p] = r.missed[p] + 1; missed[p] > tolerated {
			lost = append(lost, Lost{Peer: p, Missed: missed[p]})
		}
	}
	r.missed = missed
	slices.SortFunc(lost, func(a, b Lost) int { return cmp.Or(cmp.Compare(a.Node, b.Node), a.Addr.Compare(b.Addr)) })
	return lost
}
