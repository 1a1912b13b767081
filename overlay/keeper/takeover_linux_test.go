// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package keeper

import (
	"strings"
	"testing"
	"time"

	"fairlead/overlay"

	"github.com/google/go-cmp/cmp"
)

// flannels is what flannel 0.28 leaves on node 1: its devices, node 2 as it is, and
// node 9, which is gone.
const flannels = `set -e
ip link add flannel.1 address 02:00:00:00:00:01 mtu 1450 type vxlan id 1 local 192.168.50.1 dev eth0 dstport 8472 nolearning
ip link add flannel-v6.1 address 02:00:00:00:00:61 mtu 1430 type vxlan id 1 local fd00:50::1 dev eth0 dstport 8472 nolearning
ip address add 10.128.1.0/32 dev flannel.1
ip address add fd00:10:244:1::/128 dev flannel-v6.1
ip link set flannel.1 up
ip link set flannel-v6.1 up
for n in 2 9; do
	ip neigh replace 10.128.$n.0 lladdr 02:00:00:00:00:0$n dev flannel.1 nud permanent
	bridge fdb replace 02:00:00:00:00:0$n dev flannel.1 dst 192.168.50.$n self permanent
	ip route replace 10.128.$n.0/24 via 10.128.$n.0 dev flannel.1 onlink
	ip neigh replace fd00:10:244:$n:: lladdr 02:00:00:00:00:6$n dev flannel-v6.1 nud permanent
	bridge fdb replace 02:00:00:00:00:6$n dev flannel-v6.1 dst fd00:50::$n self permanent
	ip -6 route replace fd00:10:244:$n::/64 via fd00:10:244:$n:: dev flannel-v6.1 onlink
done
ip route add 10.128.3.0/24 via 192.168.50.3
ip route add 172.16.0.0/24 dev eth0
`

func flannelNode(n int) overlay.Node {
	out := node(n)
	out.VTEPs = [2]overlay.MAC{{2, 0, 0, 0, 0, byte(n)}, {2, 0, 0, 0, 0, byte(0x60 + n)}}
	return out
}

// TestTakeOver: flannel's devices are kept as they are, its routes become ours in
// place, and what it left of nodes that are gone is removed.
func TestTakeOver(t *testing.T) {
	h := newHost(t)
	h.run(t, "sh", "-c", flannels)
	before := h.indexes(t)
	cfg := overlay.Config{Device4: "flannel.1", Device6: "flannel-v6.1", TakeOver: true}
	k := start(t, h.ns, Options{Config: cfg, Resync: time.Hour})
	if r := k.sync(t, flannelNode(1), flannelNode(2), node(3)); len(r.Problems) > 0 {
		t.Errorf("problems: %v", r.Problems)
	}
	h.becomes(t, cfg, k.want())
	if diff := cmp.Diff(before, h.indexes(t)); diff != "" {
		t.Errorf("devices were made anew (-before +after):\n%s", diff)
	}
	if got := h.run(t, "ip", "route", "show", "172.16.0.0/24"); !strings.Contains(got, "172.16.0.0/24") {
		t.Error("a route of somebody else is gone")
	}
	// node-3 was reached directly; there is one route to it now, through the tunnel.
	if got := h.run(t, "ip", "route", "show", "10.128.3.0/24"); strings.Count(got, "10.128.3.0/24") != 1 || !strings.Contains(got, "dev flannel.1") {
		t.Errorf("routes to node-3: %s", got)
	}
	_, written, _, passes := k.last()
	k.Set(flannelNode(1), []overlay.Node{flannelNode(2), node(3)})
	k.settle(t, passes)
	if _, again, _, _ := k.last(); again != written {
		t.Errorf("nothing changed, but %d entries were written", again-written)
	}
}

// TestNoTakeOver: unless asked to, a device with a lower link is made anew.
func TestNoTakeOver(t *testing.T) {
	h := newHost(t)
	h.run(t, "sh", "-c", flannels)
	before := h.indexes(t)
	cfg := overlay.Config{Device4: "flannel.1", Device6: "flannel-v6.1"}
	k := start(t, h.ns, Options{Config: cfg, Resync: time.Hour})
	k.sync(t, flannelNode(1), flannelNode(2))
	h.becomes(t, cfg, k.want())
	for name, index := range h.indexes(t) {
		if before[name] == index {
			t.Errorf("%s is still the one with a lower link", name)
		}
	}
}

func (h *host) indexes(t *testing.T) map[string]int {
	t.Helper()
	out := map[string]int{}
	for _, name := range []string{"flannel.1", "flannel-v6.1"} {
		out[name] = h.link(t, name).Attrs().Index
	}
	return out
}
