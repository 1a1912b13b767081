// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"fairlead/overlay"
	"fairlead/overlay/probe"
)

// Report returns the last report of the overlay, and nil before the first. Callers must
// not change it. Safe for concurrent use.
func (n *Network) Report() *overlay.Report { return n.report.Load() }

// Missed returns how many packets in a row each lost peer did not answer, by the name of
// the node, and whether peers are probed. Safe for concurrent use.
func (n *Network) Missed() (missed map[string]int, probed bool) {
	lost := n.lost.Load()
	if lost == nil {
		return nil, false
	}
	missed = map[string]int{}
	for _, l := range *lost {
		missed[l.Node] = max(missed[l.Node], l.Missed)
	}
	return missed, true
}

// CNIWritten reports whether the configuration of the container runtime is in place.
// Safe for concurrent use.
func (n *Network) CNIWritten() bool { return n.written.Load() }

// setLost keeps the lost peers of a round for Missed.
func (n *Network) setLost(lost []probe.Lost) { n.lost.Store(&lost) }
