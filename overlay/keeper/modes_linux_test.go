// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package keeper

import (
	"fmt"
	"testing"
	"time"

	"fairlead/overlay"

	"github.com/google/go-cmp/cmp"
)

// TestModes restarts a node in one mode after the other: nothing stays of the
// one before.
func TestModes(t *testing.T) {
	h := newHost(t)
	peers := nodes(2, 4)
	peers[2].Underlay = addrs("10.1.2.3", "fd01::3") // in another subnet
	for _, mode := range []overlay.Mode{overlay.VXLAN, overlay.Direct, overlay.HostGateway, overlay.Direct, overlay.None, overlay.HostGateway, overlay.VXLAN} {
		cfg := overlay.Config{Mode: mode}
		k := start(t, h.ns, Options{Config: cfg})
		r := k.sync(t, node(1), peers...)
		if diff := cmp.Diff(text(k.want()), h.kernel(t, cfg)); diff != "" || !r.Ready {
			t.Errorf("%s: ready %v (-plan +kernel):\n%s", mode, r.Ready, diff)
		}
		if n := h.index(overlay.DefaultDevice4); (n != 0) != (mode <= overlay.Direct) {
			t.Errorf("%s: device %d", mode, n)
		}
		k.stop()
	}
}

// TestUplink takes the card down, with which the kernel drops routes without a
// word, and gives the node's addresses to another card.
func TestUplink(t *testing.T) {
	h := newHost(t)
	cfg := overlay.Config{Mode: overlay.HostGateway}
	k := start(t, h.ns, Options{Config: cfg, Resync: time.Hour})
	k.sync(t, node(1), nodes(2, 4)...)
	plan := k.want()
	h.run(t, "ip", "link", "set", uplink, "down")
	eventually(t, "the routes cannot be had", func() error {
		if r, _, _, _ := k.last(); len(r.Problems) == 0 {
			return fmt.Errorf("no problem")
		}
		return nil
	})
	h.run(t, "ip", "link", "set", uplink, "up")
	h.run(t, "ip", "addr", "replace", "fd00:50::1/64", "dev", uplink, "nodad")
	h.becomes(t, cfg, plan)

	// Addresses on loopback: packets leave by the default route.
	k.stop()
	h.run(t, "ip", "link", "set", "lo", "up")
	h.run(t, "ip", "addr", "flush", "dev", uplink)
	h.run(t, "ip", "addr", "add", "10.0.0.1/24", "dev", uplink)
	h.run(t, "ip", "addr", "add", "192.168.50.1/32", "dev", "lo")
	h.run(t, "ip", "link", "set", uplink, "mtu", "1400")
	k = start(t, h.ns, Options{Resync: time.Hour})
	self := node(1)
	self.Underlay, self.PodCIDRs = self.Underlay[:1], self.PodCIDRs[:1]
	k.Set(self, nodes(2, 4))
	mtu := func(want int) {
		t.Helper()
		eventually(t, "MTU", func() error {
			if r, _, _, _ := k.last(); r.MTU != want || r.Err != nil {
				return fmt.Errorf("%d, want %d: %w", r.MTU, want, r.Err)
			}
			return nil
		})
		h.becomes(t, overlay.Config{}, k.want())
	}
	mtu(1450) // a guess
	h.run(t, "ip", "route", "add", "default", "via", "10.0.0.2")
	mtu(1350)
}

// TestWaits keeps what there is while the node itself is not known.
func TestWaits(t *testing.T) {
	h := newHost(t)
	k := start(t, h.ns, Options{})
	k.sync(t, node(1), nodes(2, 4)...)
	before := h.kernel(t, overlay.Config{})
	self := node(1)
	self.PodCIDRs = nil
	if r := k.sync(t, self); r.Written != 0 || len(r.Problems) != 1 || !r.Ready {
		t.Errorf("without pod CIDR: wrote %d, ready %v, %v", r.Written, r.Ready, r.Problems)
	}
	if diff := cmp.Diff(before, h.kernel(t, overlay.Config{})); diff != "" {
		t.Errorf("without pod CIDR (-before +after):\n%s", diff)
	}
	k.sync(t, node(1), nodes(2, 3)...)
	h.becomes(t, overlay.Config{}, k.want())
}
