// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package keeper

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"fairlead/internal/nl/nltest"
	"fairlead/internal/worker"
	"fairlead/overlay"
	"fairlead/overlay/kernel"
)

// TestUnblocked removes what another program has in the place of ours, while the next try of the
// Keeper is an hour away. It finishes before that.
func TestUnblocked(t *testing.T) {
	var cases sync.WaitGroup // most of their time they wait
	for _, tt := range []struct{ name, block, free string }{
		{"route", "ip route add 10.128.2.0/24 via 192.168.50.7 proto static", "ip route del 10.128.2.0/24 proto static"},
		{"IPv6 route", "ip -6 route add fd00:10:244:2::/64 via fd00:50::7 proto static metric 1024", "ip -6 route del fd00:10:244:2::/64 proto static"},
		{"blackhole", "ip route add blackhole 10.128.3.0/24", "ip route del blackhole 10.128.3.0/24"},
		{"device of that name", "ip link add fairlead.1 type bridge", "ip link del fairlead.1"},
		{"device with that number", "ip link add flannel.1 type vxlan id 1 dstport 8472 local 192.168.50.1", "ip link del flannel.1"},
	} {
		cases.Go(func() {
			t.Run(tt.name, func(t *testing.T) {
				h := newHost(t)
				h.run(t, strings.Fields(tt.block)...)
				k := startWith(t, h.ns, Options{Resync: time.Hour}, func(k *Keeper) {
					k.backoff = worker.Backoff{First: time.Hour, Last: time.Hour}
				})
				k.Set(node(1), nodes(2, 4))
				passes, since := 0, time.Now()
				eventually(t, "the Keeper rests after a pass that failed", func() error {
					r, _, _, n := k.last()
					if n != passes {
						passes, since = n, time.Now()
					}
					if rested := time.Since(since); n == 0 || r.Err == nil || rested < 5*restRead {
						return fmt.Errorf("%d passes, the last one %s ago: %w", n, rested, r.Err)
					}
					return nil
				})
				last, _, _, _ := k.last()
				t.Logf("after %d passes: %v", passes, last.Err)
				h.run(t, strings.Fields(tt.free)...)
				k.settle(t, passes)
				h.becomes(t, overlay.Config{}, k.want())
			})
		})
	}
	cases.Wait()
}

// TestDumpsInterrupted marks each dump as interrupted, as the kernel does while other programs
// change routes all the time. A pass reads everything nevertheless, and writes nothing.
func TestDumpsInterrupted(t *testing.T) {
	h := newHost(t)
	in := input{self: node(1), peers: nodes(2, 30), version: 1}
	passes(t, h).must(t, in, true)
	var faults nltest.Faults
	k, err := New(h.ns, Options{})
	h.must(t, err)
	k.sock, err = kernel.DialWith(h.ns, &faults)
	h.must(t, err)
	defer func() { _ = k.sock.Close() }()
	faults.Arm(nltest.Fault{Place: nltest.Interrupt}, 1, 1<<30)
	r := k.pass(t.Context(), in, true)
	if faults.Disarm() == 0 || r.Err != nil || r.Written != 0 || !r.Ready {
		t.Errorf("ready %v, %d written, %v", r.Ready, r.Written, r.Err)
	}
	h.checkKernel(t, in)
}
