// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"net/netip"
	"testing"
)

// TestRound: a peer is lost after three packets without an answer, and back with one.
func TestRound(t *testing.T) {
	a := Peer{"a", netip.MustParseAddr("10.0.1.0")}
	b := Peer{"b", netip.MustParseAddr("10.0.2.0")}
	var r Round
	for i, tt := range []struct{ silent, lost []Peer }{
		{[]Peer{a, b}, nil},
		{[]Peer{b}, nil},
		{[]Peer{b, a}, []Peer{b}},
		{[]Peer{b, a}, []Peer{b}},
		{[]Peer{b, a}, []Peer{a, b}},
		{nil, nil},
		{[]Peer{a}, nil},
	} {
		lost := r.End(tt.silent)
		if len(lost) != len(tt.lost) {
			t.Fatalf("round %d: lost %v, want %v", i, lost, tt.lost)
		}
		for j := range lost {
			if lost[j].Peer != tt.lost[j] || lost[j].Missed <= tolerated {
				t.Errorf("round %d: lost %v, want %v", i, lost, tt.lost)
			}
		}
	}
}
