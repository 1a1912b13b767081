// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"testing"
	"time"

	"fairlead/bench/controlplane"
)

// unheard plays what is common to all ways in which agents can be kept from
// hearing of changes: the data path stays, nothing is deleted, and once they
// hear again all agents do what they should.
func unheard(t *testing.T, r *run, name string, keep, release func(*controlplane.Gate)) {
	t.Helper()
	doomed := r.doomed(t, name)
	kept := r.nothingDeleted(t)
	for _, a := range r.agents {
		keep(a.gate)
	}
	n := r.change(t, name, doomed)
	r.load.goesOn(t)
	kept()
	for _, a := range r.agents {
		release(a.gate)
	}
	r.arrived(t, n)
}

// cutOff resets the agents' connections and refuses new ones.
func cutOff(t *testing.T, r *run) {
	t.Helper()
	unheard(t, r, "cut", (*controlplane.Gate).Shut, (*controlplane.Gate).Open)
	before := r.nothingDeleted(t)
	for range 5 { // without a pause, as by a firewall that lost its state
		for _, a := range r.agents {
			a.gate.Cut()
		}
		r.load.goesOn(t)
	}
	before()
}

// stale leaves the agents' connections open, with nothing coming out of them.
func stale(t *testing.T, r *run) {
	t.Helper()
	unheard(t, r, "stale", (*controlplane.Gate).Hold, (*controlplane.Gate).Open)
}

// slow lets changes through at the pace of a line that is about to break, and
// does not open up until all have come through.
func slow(t *testing.T, r *run) {
	t.Helper()
	doomed := r.doomed(t, "slow")
	for _, a := range r.agents {
		a.gate.Slow(50 * time.Millisecond) // 8 kB/s
	}
	n := r.change(t, "slow", doomed)
	r.arrived(t, n)
	for _, a := range r.agents {
		a.gate.Open()
	}
}
