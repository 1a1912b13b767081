// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package keeper

import (
	"fmt"
	"testing"

	"fairlead/overlay"
)

const many = 5000

// BenchmarkPlan plans a large cluster from scratch.
func BenchmarkPlan(b *testing.B) {
	peers := nodes(2, many)
	net := overlay.Underlay{Links: []overlay.Link{{Name: uplink, MTU: 1500, Up: true}}}
	for b.Loop() {
		overlay.NewPlan(overlay.Config{}, net, node(1), peers)
	}
}

// BenchmarkFirst programs dual-stack nodes into an empty namespace.
func BenchmarkFirst(b *testing.B) {
	for _, n := range []int{100, many} {
		b.Run(fmt.Sprintf("nodes=%d", n), func(b *testing.B) {
			peers := nodes(2, n)
			for b.Loop() {
				b.StopTimer()
				h := newHost(b)
				k := passes(b, h)
				b.StartTimer()
				k.must(b, input{self: node(1), peers: peers, version: 1}, true)
			}
		})
	}
}

// BenchmarkRestart meets a namespace that is as it should be.
func BenchmarkRestart(b *testing.B) {
	h := newHost(b)
	in := input{self: node(1), peers: nodes(2, many), version: 1}
	passes(b, h).must(b, in, true)
	for b.Loop() {
		if r := passes(b, h).must(b, in, true); r.Written != 0 {
			b.Fatalf("wrote %d", r.Written)
		}
	}
}

// BenchmarkEvent moves one node of many.
func BenchmarkEvent(b *testing.B) {
	h := newHost(b)
	k := passes(b, h)
	in := input{self: node(1), peers: nodes(2, many), version: 1}
	k.must(b, in, true)
	for i := 0; b.Loop(); i++ {
		in.version++
		in.peers[77].Underlay = node(10000 + i%100).Underlay
		if r := k.must(b, in, false); r.Written != 6 || r.Resynced {
			b.Fatalf("wrote %d, resynced %v", r.Written, r.Resynced)
		}
	}
}
