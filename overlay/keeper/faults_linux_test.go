// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package keeper

import (
	"context"
	"flag"
	"slices"
	"strings"
	"testing"
	"time"

	"fairlead/internal/netns"
	"fairlead/internal/nl/nltest"
	"fairlead/overlay"
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

// TestFaultsWatch makes each system call of the socket fail by which the Keeper learns of
// changes, in each way, while another program deletes a route. The route comes back, although
// no other event and no regular check tells of it.
func TestFaultsWatch(t *testing.T) {
	kinds := nltest.Some()
	if *every {
		kinds = nltest.All()
	}
	for _, fault := range kinds {
		if slices.Contains([]nltest.Place{nltest.Enter, nltest.Send, nltest.SendLost, nltest.Refuse, nltest.RefuseWhole}, fault.Place) {
			continue // the socket is open, and sends nothing
		}
		if fault.Name == "receive EAGAIN" {
			continue // the kernel says so of an empty socket only, and epoll wakes no reader of a full one
		}
		t.Run(strings.ReplaceAll(fault.Name, " ", "-"), func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			var faults nltest.Faults
			k := startWith(t, h.ns, Options{Resync: time.Hour}, func(k *Keeper) {
				k.events = func(ctx context.Context, ns *netns.NS, matters func() *kernel.Interest, noted func([]kernel.Event), lost func()) error {
					return kernel.WatchWith(ctx, ns, &faults, matters, noted, lost)
				}
			})
			k.sync(t, node(1), nodes(2, 4)...)
			k.quiet(t)
			for n, struck := 1, 1; struck > 0 && n <= 6; n++ {
				faults.Arm(fault, n, 1)
				h.run(t, "ip", "route", "del", "10.128.2.0/24")
				h.becomes(t, overlay.Config{}, k.want())
				if struck = faults.Disarm(); struck == 0 && n == 1 {
					t.Error("the fault did not strike")
				}
			}
		})
	}
}
