// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package keeper

import (
	"strings"
	"testing"

	"fairlead/internal/inet"
	"fairlead/overlay"

	"github.com/google/go-cmp/cmp"
)

// TestProgram programs three peers, and looks at the kernel through ip and
// bridge, too.
func TestProgram(t *testing.T) {
	h := newHost(t)
	k := start(t, h.ns, Options{})
	r := k.sync(t, node(1), nodes(2, 4)...)
	if !r.Ready || r.Written != 2+2+3*6 || r.Repaired != 0 || r.MTU != 1430 || len(r.Problems) > 0 {
		t.Errorf("report: %+v", r)
	}
	if diff := cmp.Diff(text(k.want()), h.kernel(t, overlay.Config{})); diff != "" {
		t.Errorf("kernel (-plan +kernel):\n%s", diff)
	}
	for _, tt := range []struct{ command, want string }{
		{"ip route show proto 102", "10.128.3.0/24 via 10.128.3.0 dev fairlead.1 onlink"},
		{"ip -6 route show proto 102", "fd00:10:244:3::/64 via fe80::a8a2:9bff:fe50:89f0 dev fairlead-v6.1 metric 1024 pref medium"},
		{"ip neigh show dev fairlead-v6.1", "fe80::a8a2:9bff:fe50:89f0 lladdr aa:a2:9b:50:89:f0 PERMANENT"},
		{"ip neigh show dev fairlead.1", "10.128.3.0 lladdr " + mac("node-3", inet.IPv4).String() + " PERMANENT"},
		{"bridge fdb show dev fairlead.1", mac("node-3", inet.IPv4).String() + " dst 192.168.50.3 self permanent"},
		{"bridge fdb show dev fairlead-v6.1", mac("node-3", inet.IPv6).String() + " dst fd00:50::3 self permanent"},
		{"ip -d link show fairlead.1", "vxlan id 1 local 192.168.50.1 srcport 0 0 dstport 8472 nolearning"},
		{"ip addr show dev fairlead.1", "inet 10.128.1.0/32 scope global fairlead.1"},
	} {
		if got := h.run(t, strings.Fields(tt.command)...); !strings.Contains(got, tt.want) {
			t.Errorf("%s: want %q in\n%s", tt.command, tt.want, got)
		}
	}
}

// TestByHand carries out a plan's text with ip and bridge. A Keeper finds
// nothing to do then: the text says what the Keeper does.
func TestByHand(t *testing.T) {
	h := newHost(t)
	k := start(t, h.ns, Options{})
	k.sync(t, node(1), nodes(2, 4)...)
	plan := k.want()
	k.stop()

	other := newHost(t)
	for line := range strings.Lines(plan.String()) {
		other.run(t, strings.Fields(line)...)
	}
	other.becomes(t, overlay.Config{}, plan)
	again := start(t, other.ns, Options{})
	if r := again.sync(t, node(1), nodes(2, 4)...); r.Written != 0 || !r.Ready {
		t.Errorf("wrote %d: %v", r.Written, r.Problems)
	}
}

// TestRestart starts a second Keeper on what a first one left.
func TestRestart(t *testing.T) {
	h := newHost(t)
	first := start(t, h.ns, Options{})
	first.sync(t, node(1), nodes(2, 9)...)
	first.stop()

	second := start(t, h.ns, Options{})
	if r := second.sync(t, node(1), nodes(2, 9)...); r.Written != 0 || !r.Ready || !r.Resynced {
		t.Errorf("an unchanged cluster: wrote %d, ready %v", r.Written, r.Ready)
	}
	second.stop()

	// While no agent runs node 5 goes, node 10 comes, and node 6 moves.
	peers := append(nodes(2, 4), nodes(6, 10)...)
	peers[3].Underlay = node(77).Underlay
	third := start(t, h.ns, Options{})
	r := third.sync(t, node(1), peers...)
	if r.Written != 6+6+2 || r.Repaired != 0 {
		t.Errorf("wrote %d, repaired %d", r.Written, r.Repaired)
	}
	if diff := cmp.Diff(text(third.want()), h.kernel(t, overlay.Config{})); diff != "" {
		t.Errorf("kernel (-plan +kernel):\n%s", diff)
	}
}
