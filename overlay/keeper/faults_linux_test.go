// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package keeper

import (
	"flag"
	"strings"
	"testing"

	"fairlead/internal/netns"
	"fairlead/internal/nl/nltest"
	"fairlead/overlay/kernel"
)

var every = flag.Bool("every-fault", false, "make system calls fail in each way, instead of some among those that are alike")

// TestFaults makes each system call of a change of nodes fail, in each way. The Keeper
// reads and writes again until the kernel is as planned, and one more pass writes nothing.
func TestFaults(t *testing.T) {
	h := newHost(t)
	old := input{self: node(1), peers: nodes(2, 4), version: 1}
	now := input{self: node(1), peers: nodes(3, 5), version: 2}
	now.peers[0].Underlay = node(90).Underlay
	now.self.PodCIDRs = node(91).PodCIDRs
	kinds := nltest.Some()
	if *every {
		kinds = nltest.All()
	}
	for _, fault := range kinds {
		t.Run(strings.ReplaceAll(fault.Name, " ", "-"), func(t *testing.T) {
			for n := 1; h.fails(t, fault, n, old, now, false); n++ {
			}
			for n := 1; h.fails(t, fault, n, old, now, true); n++ {
				if !*every {
					n += n / 6
				}
			}
		})
	}
}

// fails goes from old to now while the n-th call fails. It reports whether there was one.
// A restart begins with what the kernel has.
func (h *host) fails(t *testing.T, fault nltest.Fault, n int, old, now input, restart bool) bool {
	t.Helper()
	before, err := New(h.ns, Options{})
	h.must(t, err)
	before.sock, err = kernel.Dial(h.ns)
	h.must(t, err)
	before.must(t, old, true)
	h.must(t, before.sock.Close())

	var faults nltest.Faults
	k, err := New(h.ns, Options{})
	h.must(t, err)
	k.dial = func(ns *netns.NS) (*kernel.Conn, error) { return kernel.DialWith(ns, &faults) }
	k.sock, err = k.dial(h.ns)
	h.must(t, err)
	defer func() { _ = k.sock.Close() }()
	if !restart {
		k.must(t, old, true)
	}
	faults.Arm(fault, n, 1)
	const most = 5
	looks := 0
	for again := true; again; looks++ {
		if looks == most {
			t.Fatalf("call %d: no end after %d passes", n, most)
		}
		r := k.pass(t.Context(), now, restart || k.mustLoad || looks > 0)
		again = r.Err != nil || k.mustLoad
	}
	struck := faults.Disarm()
	h.checkKernel(t, now)
	if r := k.must(t, now, true); r.Written != 0 {
		t.Errorf("call %d: one more pass writes %d entries", n, r.Written)
	}
	if t.Failed() {
		t.Errorf("at call %d, after %d passes", n, looks)
	}
	return struck > 0 && !t.Failed()
}
